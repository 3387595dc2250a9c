// Node's error codes as text and as our error classes. Independent of paths and formats.

import { StorageError } from '../../base/errors.ts'

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'disk full',
  EDQUOT: 'disk quota used up',
  EACCES: 'no permission',
  EPERM: 'not permitted',
  EROFS: 'the file system is read-only',
  EMFILE: 'too many open files',
  ENOTDIR: 'a part of the path is not a directory',
  EISDIR: 'it is a directory',
}

/** The code of a system error (`ENOENT`), or undefined. */
export function findErrorCode(error: unknown): string | undefined {
  const code =
    typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' ? code : undefined
}

/** One short line with the reason why something failed, from an error or from what caused it. */
export function describeError(error: unknown): string {
  const code = findErrorCode(error)
  if (code && reasons[code]) return `${reasons[code]} (${code})`
  if (!(error instanceof Error)) return String(error)
  const inner = error.cause === undefined ? undefined : describeError(error.cause)
  return inner && !error.message.includes(inner) ? `${error.message}: ${inner}` : error.message
}

/** A StorageError that keeps the cause: "<what>: disk full (ENOSPC). Free some space …". */
export function toStorageError(what: string, cause: unknown): StorageError {
  const advice = findErrorCode(cause) === 'ENOSPC' ? ' Free some space and run it again.' : ''
  return new StorageError(`${what}: ${describeError(cause)}.${advice}`, { cause })
}

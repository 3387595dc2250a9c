// Converts a browser's storage errors to Graft's.

import { StorageError } from '../../base/errors.ts'

const reasons: Readonly<Record<string, string>> = {
  QuotaExceededError: 'the quota of this site is used up',
  InvalidStateError: 'it is closed',
  SecurityError: 'the browser forbids storage here',
  VersionError: 'a newer version of Graft wrote it',
  UnknownError: 'the browser cannot use its disk',
}

/**
 * A StorageError that keeps the cause: "<what>: the quota of this site is used up
 * (QuotaExceededError)."
 */
export function toBrowserStorageError(what: string, cause: unknown): StorageError {
  const { name, message } = cause instanceof Error ? cause : new Error(String(cause))
  const reason = reasons[name]
  return new StorageError(`${what}: ${reason ? `${reason} (${name})` : message}.`, { cause })
}

// Public keys, one of which must have signed an expert: read from PEM files, and opened where they
// are used.

import { readFile } from 'node:fs/promises'
import { NotFoundError } from '../../base/errors.ts'
import { readVerifyingKey, type VerifyingKey } from '../../registry/signing/ecdsa.ts'

/** A public key as in its file: a plain value that can be sent to a worker. */
export interface TrustedKey {
  /** Shown in errors: the file's path. */
  readonly name: string
  readonly pem: string
}

/**
 * The keys of `--require-signed`; undefined if there are none. Throws NotFoundError for a file that
 * cannot be read, OptionError for one that is no public key.
 */
export async function readTrustedKeys(
  files: readonly string[] | undefined,
): Promise<readonly TrustedKey[] | undefined> {
  if (files === undefined || files.length === 0) return undefined
  const keys: TrustedKey[] = []
  for (const name of files) {
    const pem = await readFile(name, 'utf8').catch((cause: unknown) => {
      throw new NotFoundError(`--require-signed ${name}: cannot be read.`, { cause })
    })
    keys.push({ name, pem })
  }
  await openKeys(keys)
  return keys
}

/** Throws OptionError for an invalid key. */
export async function openKeys(given: readonly TrustedKey[]): Promise<VerifyingKey[]> {
  const keys: VerifyingKey[] = []
  for (const { name, pem } of given) keys.push(await readVerifyingKey(pem, name))
  return keys
}

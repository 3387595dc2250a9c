// Signatures of experts' folders: written into the folder, and verified.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FormatError, NotFoundError } from '../../base/errors.ts'
import { parseBundle, signResources } from '../../registry/signing/bundle.ts'
import { readSigningKey, readVerifyingKey } from '../../registry/signing/ecdsa.ts'
import { listResources, signatureFile } from '../../registry/signing/resources.ts'
import { verifyFiles } from '../../registry/signing/verify.ts'
import { createFileSink } from '../files/file-sink.ts'
import { findErrorCode, toStorageError } from '../files/system-errors.ts'
import { runFolders } from '../expert/content-hash.ts'
import { listFiles } from '../files/list-files.ts'

/**
 * Signs the files of a folder but a run's checkpoints; returns the signature's path. Throws
 * OptionError for a wrong key.
 */
export async function signFolder(folder: string, keyFile: string): Promise<string> {
  const key = await readSigningKey(await readText(keyFile), keyFile)
  const ignored = [signatureFile, ...runFolders]
  const resources = await listResources(await listFiles(folder), ignored)
  const name = folder.split(/[\\/]/).findLast((part) => part !== '') ?? 'expert'
  const text = await signResources(resources, key, { name, ignored })
  await createFileSink(folder).write(signatureFile, [new TextEncoder().encode(text)])
  return join(folder, signatureFile)
}

/**
 * Verifies a folder against public keys in PEM files. Throws SignatureError with what differs,
 * NotFoundError if it has no signature.
 */
export async function verifyFolder(folder: string, keyFiles: readonly string[]): Promise<void> {
  const path = join(folder, signatureFile)
  const text = await readText(path).catch((error: unknown) => {
    if (!(error instanceof NotFoundError)) throw error
    throw new NotFoundError(`${folder}: is not signed: there is no ${signatureFile}.`)
  })
  const keys = []
  for (const file of keyFiles) keys.push(await readVerifyingKey(await readText(file), file))
  const bundle = await parseBundle(text, path)
  await verifyFiles(bundle, keys, await listFiles(folder), { signaturePath: signatureFile })
}

async function readText(path: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path))
  } catch (cause) {
    if (cause instanceof TypeError) throw new FormatError(`${path}: is not text.`, { cause })
    if (findErrorCode(cause) === 'ENOENT') throw new NotFoundError(`${path}: is not there.`)
    throw toStorageError(`${path}: cannot be read`, cause)
  }
}

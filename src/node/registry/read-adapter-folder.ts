// Reads an adapter's folder once, into memory, so that exactly the bytes that are hashed and
// verified are loaded, and cannot be exchanged in between.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Adapter } from '../../adapters/adapter.ts'
import { SignatureError, StorageError } from '../../base/errors.ts'
import { computeSha256, toHex } from '../../base/sha256.ts'
import type { ByteFolder } from '../../formats/byte-source.ts'
import { createMemorySource } from '../../formats/memory-source.ts'
import {
  type ExpertManifest,
  manifestFile,
  parseExpertManifest,
} from '../../registry/manifest/expert-manifest.ts'
import { parseBundle } from '../../registry/signing/bundle.ts'
import type { VerifyingKey } from '../../registry/signing/ecdsa.ts'
import {
  computeRootDigest,
  isIgnoredPath,
  type ListedFile,
  listResources,
  signatureFile,
} from '../../registry/signing/resources.ts'
import { verifyFiles } from '../../registry/signing/verify.ts'
import { findAdapterSource } from '../adapter-source.ts'
import { loadAdapter } from '../adapters.ts'
import { type ExpertMetadata, readMetadataIn } from '../expert/expert-notes.ts'
import { toStorageError } from '../files/system-errors.ts'
import { runFolders } from '../expert/content-hash.ts'
import { listFiles } from '../files/list-files.ts'

export interface FolderChecks {
  /** The root digest that the files must have. */
  readonly sha256?: string | undefined
  /** Keys, one of which must have signed the files. */
  readonly trustedKeys?: readonly VerifyingKey[] | undefined
}

export interface ReadAdapterFolder {
  readonly adapter: Adapter
  /** graft.json, where the folder has one. */
  readonly notes: ExpertMetadata | undefined
  /** expert.json, where the folder has one. */
  readonly manifest: ExpertManifest | undefined
  /** The root digest of the files, without the signature and a run's checkpoints. */
  readonly sha256: string
}

/**
 * Reads a PEFT folder. Throws SignatureError if the files do not have the digest that is wanted,
 * are not signed by a trusted key, or differ from those that were signed; FormatError for links;
 * and what `loadAdapter` throws.
 */
export async function readAdapterFolder(
  path: string,
  { sha256: expected, trustedKeys }: FolderChecks = {},
): Promise<ReadAdapterFolder> {
  await checkFormat(path)
  const listed = await listFiles(path)
  const files = new Map<string, Uint8Array>()
  for (const file of listed)
    if (!isIgnoredPath(file.path, runFolders)) files.set(file.path, await readBytes(path, file))
  // A file of a training run is not loaded, so it stays on the disk; a signature does not cover it.
  const held = listed.map((file) => withBytes(file, files.get(file.path)))
  const folder = toFolder(path, files)
  // Read while another thread computes the hash; nothing is used before the hash is checked.
  const reading = trustedKeys ? undefined : loadAdapter(folder)
  reading?.catch(() => undefined)
  const resources = await listResources(held, [signatureFile, ...runFolders])
  const sha256 = await computeRootDigest(resources)
  if (expected !== undefined && sha256 !== expected)
    throw new SignatureError(
      `${path}: its files have the hash sha256:${sha256}, expected sha256:${expected}: they were changed. Remove the expert from the registry and add it again.`,
    )
  if (trustedKeys) await verifyHeld(path, held, files.get(signatureFile), trustedKeys)
  const manifestBytes = files.get(manifestFile)
  return {
    adapter: await (reading ?? loadAdapter(folder)),
    notes: await readMetadataIn(folder),
    manifest:
      manifestBytes &&
      parseExpertManifest(new TextDecoder().decode(manifestBytes), `${path}/${manifestFile}`),
    sha256,
  }
}

/** Throws SignatureError for formats that cannot have a signature. */
async function checkFormat(path: string): Promise<void> {
  const { format } = await findAdapterSource(path)
  if (format !== 'peft')
    throw new SignatureError(
      `${path}: is an adapter of ${format === 'gguf' ? 'llama.cpp' : 'mlx-lm'}, and only PEFT folders hold a signature. Write one with graft convert, and sign it.`,
    )
}

async function verifyHeld(
  path: string,
  files: readonly ListedFile[],
  signature: Uint8Array | undefined,
  keys: readonly VerifyingKey[],
): Promise<void> {
  if (!signature)
    throw new SignatureError(
      `${path}: is not signed: there is no ${signatureFile}, and only signed experts are loaded here. Sign it with graft experts sign, or ask who made it.`,
    )
  const bundle = await parseBundle(new TextDecoder().decode(signature), `${path}/${signatureFile}`)
  try {
    await verifyFiles(bundle, keys, files, { signaturePath: signatureFile })
  } catch (error) {
    if (!(error instanceof SignatureError)) throw error
    throw new SignatureError(`${path}: ${error.message}`, { cause: error })
  }
}

async function readBytes(folder: string, { path, sizeBytes }: ListedFile): Promise<Uint8Array> {
  const full = join(folder, path)
  let bytes: Uint8Array
  try {
    bytes = await readFile(full)
  } catch (cause) {
    throw toStorageError(`${full}: cannot be read`, cause)
  }
  if (bytes.length !== sizeBytes)
    throw new StorageError(
      `${full}: has ${bytes.length} bytes, and had ${sizeBytes} a moment ago: it is being written. Try again when that has ended.`,
    )
  return bytes
}

const withBytes = (file: ListedFile, bytes: Uint8Array | undefined): ListedFile =>
  bytes === undefined
    ? file
    : {
        path: file.path,
        sizeBytes: bytes.length,
        hash: async () => toHex(await computeSha256(bytes)),
      }

const toFolder = (name: string, files: ReadonlyMap<string, Uint8Array>): ByteFolder => ({
  name,
  async open(path) {
    const bytes = files.get(path)
    return bytes && createMemorySource(`${name}/${path}`, bytes)
  },
})

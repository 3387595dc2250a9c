// An expert's files in memory: listed, hashed, read as an adapter with its manifest, and verified.

import { loadAdapter } from '../../adapters/files/peft.ts'
import { type Adapter, checkFinite } from '../../adapters/adapter.ts'
import { baseHashKey } from '../../adapters/base-copy.ts'
import { jointMark } from '../../adapters/kinds/joint/joint-rules.ts'
import { FormatError, OptionError, SignatureError } from '../../base/errors.ts'
import { computeSha256, toHex } from '../../base/sha256.ts'
import type { ByteFolder } from '../../formats/byte-source.ts'
import { createMemorySource } from '../../formats/memory-source.ts'
import {
  checkExpertManifest,
  type ExpertManifest,
  manifestFile,
  parseExpertManifest,
} from '../../registry/manifest/expert-manifest.ts'
import { manifestLayout } from '../../registry/manifest/manifest-fields.ts'
import type { AddOptions } from '../../registry/registry.ts'
import { parseBundle } from '../../registry/signing/bundle.ts'
import { readVerifyingKey } from '../../registry/signing/ecdsa.ts'
import {
  computeRootDigest,
  type ListedFile,
  listResources,
  signatureFile,
} from '../../registry/signing/resources.ts'
import { verifyFiles } from '../../registry/signing/verify.ts'
import { computeTier } from '../../train/options/adapter-tiers.ts'
import { readDescription } from '../../train/options/description.ts'
import type { ExpertFiles } from './content-store.ts'

const mostFiles = 1000

/** Copies files, so that their bytes cannot change any more. */
export function copyFiles(files: ExpertFiles): Map<string, Uint8Array> {
  if (!(files instanceof Map))
    throw new OptionError('An expert: expected a Map from paths to Uint8Arrays.')
  if (files.size > mostFiles)
    throw new FormatError(`An expert: has ${files.size} files, expected at most ${mostFiles}.`)
  return new Map([...files].map(([path, bytes]) => [path, bytes.slice()]))
}

export const listFiles = (files: ExpertFiles): ListedFile[] =>
  [...files].map(([path, bytes]) => ({
    path,
    sizeBytes: bytes.length,
    hash: async () => toHex(await computeSha256(bytes)),
  }))

/** The root digest of the files without the signature. */
export const computeFilesHash = async (files: ExpertFiles): Promise<string> =>
  computeRootDigest(await listResources(listFiles(files), [signatureFile]))

/** The files as a folder for `loadAdapter`. */
export const toByteFolder = (name: string, files: ExpertFiles): ByteFolder => ({
  name,
  async open(path) {
    const bytes = files.get(path)
    return bytes && createMemorySource(`${name}/${path}`, bytes)
  },
})

/**
 * The manifest of an expert. The files are also read as an adapter, so that only loadable experts
 * are accepted. Throws what `loadAdapter` throws, and FormatError for a wrong manifest.
 */
export async function readManifest(
  files: ExpertFiles,
  { id, version, manifest: given }: AddOptions,
  now: string,
): Promise<ExpertManifest> {
  const adapter = await loadAdapter(toByteFolder('expert', files), { packed: true })
  checkFinite(adapter)
  const bytes = files.get(manifestFile)
  const manifest = bytes
    ? parseExpertManifest(new TextDecoder().decode(bytes), manifestFile)
    : (given ?? createManifest(adapter, { id, version }, now))
  checkExpertManifest(manifest, manifestFile)
  if ((id ?? manifest.id) !== manifest.id || (version ?? manifest.version) !== manifest.version)
    throw new OptionError(
      `The manifest has ${manifest.id}@${manifest.version}, got ${id ?? manifest.id}@${version ?? manifest.version}. Change the manifest, or leave the name out.`,
    )
  return manifest
}

function createManifest(
  { kind, config, baseModel, metadata = {} }: Adapter,
  { id, version = '0.1.0' }: Pick<AddOptions, 'id' | 'version'>,
  now: string,
): ExpertManifest {
  const { name, description, tags, author, license } = readDescription(metadata)
  const named = id ?? name
  if (named === undefined)
    throw new OptionError('The expert has no name: give one, as add(files, { id }).')
  const sha256 = metadata[baseHashKey]
  const base = {
    ...(baseModel !== undefined && { id: baseModel }),
    ...(sha256 !== undefined && { sha256 }),
  }
  const said = { name, description, tags, author, license }
  const known = Object.entries(said).filter(([, value]) => value !== undefined)
  return Object.assign(
    {
      layout: manifestLayout,
      id: named,
      version,
      kind: kind.includes(jointMark) ? kind.split(jointMark) : kind,
      tier: computeTier({ kind, config }),
      base,
      modified: now,
    },
    Object.fromEntries(known),
  )
}

/**
 * Verifies files against public keys in PEM. Throws SignatureError if they are not signed by one of
 * them, or differ from those that were signed.
 */
export async function verifyExpertFiles(
  files: ExpertFiles,
  publicPems: readonly string[],
): Promise<void> {
  const bytes = files.get(signatureFile)
  if (!bytes) throw new SignatureError(`The expert is not signed: there is no ${signatureFile}.`)
  const keys = []
  for (const pem of publicPems) keys.push(await readVerifyingKey(pem))
  const bundle = await parseBundle(new TextDecoder().decode(bytes), signatureFile)
  await verifyFiles(bundle, keys, listFiles(files), { signaturePath: signatureFile })
}

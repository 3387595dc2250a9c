// Reads adapters of any format for a server: a folder's files are hashed, so that its content has
// one name everywhere, and verified where the server asks for signatures.

import { stat } from 'node:fs/promises'
import { baseHashKey, checkBaseHash } from '../../adapters/base-copy.ts'
import { MismatchError, OptionError } from '../../base/errors.ts'
import type { ExpertManifest } from '../../registry/manifest/manifest-fields.ts'
import { isIgnoredPath } from '../../registry/signing/resources.ts'
import type { AdapterReader } from '../../server/local/create-service.ts'
import { findAdapterSource } from '../adapter-source.ts'
import { locateAdapter, readLocatedAdapter } from '../located-adapter.ts'
import type { LoadedModel } from '../model.ts'
import { computeBaseDigest } from '../models/base-digest.ts'
import { getBaseSource } from '../models/base-name.ts'
import { runFolders } from '../expert/content-hash.ts'
import { listFiles } from '../files/list-files.ts'
import { readAdapterFolder } from '../registry/read-adapter-folder.ts'
import { openKeys, type TrustedKey } from '../registry/trusted-keys.ts'

export interface ServedAdapterOptions {
  readonly model: LoadedModel
  /** The name that the base was loaded by. */
  readonly source: string
  /** Keys, one of which must have signed every adapter; undefined: none need be signed. */
  readonly trustedKeys?: readonly TrustedKey[] | undefined
}

/** Bytes and files of a folder that is read whole; a larger one has other files too. */
const mostBytes = 1 << 28
const mostFiles = 200

/** Throws OptionError for a key that is none. */
export async function createAdapterReader({
  model,
  source,
  trustedKeys: given,
}: ServedAdapterOptions): Promise<AdapterReader> {
  const trustedKeys = given && (await openKeys(given))
  return async (path, sha256) => {
    if (path.includes('\0')) throw new OptionError('The path holds a NUL.')
    const checks = { sha256, trustedKeys }
    if (!trustedKeys && sha256 === undefined && !(await isPlainFolder(path)))
      return readAnyAdapter(path, model)
    const { adapter, notes, manifest, sha256: found } = await readAdapterFolder(path, checks)
    if (sha256 !== undefined && manifest) await checkManifestBase(manifest, model, source)
    return { adapter, system: notes?.system ?? manifest?.system, sha256: found }
  }
}

async function readAnyAdapter(path: string, model: LoadedModel) {
  const located = await locateAdapter(path)
  return { adapter: await readLocatedAdapter(located, model), system: located.notes?.system }
}

/** A PEFT folder of regular files, few and small enough to read them all. */
async function isPlainFolder(path: string): Promise<boolean> {
  if (!(await stat(path).catch(() => undefined))?.isDirectory()) return false
  if ((await findAdapterSource(path)).format !== 'peft') return false
  const files = (await listFiles(path).catch(() => [])).filter(
    (file) => !isIgnoredPath(file.path, runFolders),
  )
  const bytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  return files.length > 0 && files.length <= mostFiles && bytes <= mostBytes
}

/**
 * Throws MismatchError for an expert of another base: another name, and other weights if their hash
 * is known. Another quantisation of the same base has the same name; a path is not compared.
 */
async function checkManifestBase(
  { base }: ExpertManifest,
  { base: own }: LoadedModel,
  source: string,
): Promise<void> {
  const named = base.id === undefined ? undefined : getBaseSource(base.id)
  if (named !== undefined && isSameName(named, source)) return
  // the same files have the same tensors; other files may hold them too
  if (base.digest !== undefined && base.digest === (await computeBaseDigest(own.weights.name)))
    return
  if (base.sha256 !== undefined) {
    const metadata = { [baseHashKey]: base.sha256 }
    return checkBaseHash({ metadata, ...(named !== undefined && { baseModel: named }) }, own)
  }
  if (base.digest !== undefined)
    throw new MismatchError(
      'The expert was trained on another base',
      [{ name: 'base', got: `other files than "${source}"`, expected: `sha256:${base.digest}` }],
      'Serve the base whose files have this digest (graft inspect shows it), or give the expert by its path.',
    )
  if (named === undefined || isPath(named) || isPath(source)) return
  throw new MismatchError(
    'The expert was trained on another base',
    [{ name: 'base', got: source, expected: named }],
    'Serve the base that its manifest names, or give the expert by its path where this is the same base under another name.',
  )
}

const isPath = (name: string): boolean => /^[./~\\]|^[a-z]:\\|\.gguf$/i.test(name)

/** 'smollm2-135m-instruct' is the base of 'smollm2-135m-instruct:q4_1' too. */
const isSameName = (named: string, source: string): boolean => {
  const toPlain = (name: string): string => getBaseSource(name).replace(/:[\w.-]+$/, '')
  return toPlain(named) === toPlain(source)
}

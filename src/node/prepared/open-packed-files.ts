// Packed weights of a base model in files of the cache. Opening a model a second time packs nothing,
// and processes that use one model read the same pages.

import { createHash } from 'node:crypto'
import { open, readdir, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { OptionError } from '../../base/errors.ts'
import { joinProblems, number } from '../../base/schema.ts'
import { type FileTensor, viewBytes } from '../../base/tensor.ts'
import { PACKING_VERSION } from '../../compute/pack.ts'
import type { NamedTensor, PackedFiles, PackedPart } from '../../compute/packed-files.ts'
import type { TensorStore } from '../../formats/tensor-store.ts'
import { isPackable } from '../../compute/pack.ts'
import type { WeightChoice } from '../../runtime/index.ts'
import { makeDirectory } from '../files/make-directory.ts'
import { type Environment, getCacheDirectory } from '../models/cache.ts'
import {
  createTemporaryName,
  getPreparedPath,
  makeRoom,
  linkForUse,
  linkPrepared,
  removeLeftovers,
  markUsed,
} from './prepared-folder.ts'
import { dropBuffers } from './drop-buffers.ts'
import { type PreparedTensor, readPrepared, writePrepared } from './prepared-file.ts'

export interface PackedFilesOptions {
  readonly weights: TensorStore
  readonly choice?: WeightChoice | undefined
  /** GRAFT_PREPARED_GB, GRAFT_CACHE, XDG_CACHE_HOME. Default: the process's. */
  readonly environment?: Environment | undefined
  /** Smaller models are packed faster than a file is found. Default: 16 MB. */
  readonly leastBytes?: number | undefined
  /** Least size of models whose programs share one copy in memory. Default: 250 MB. */
  readonly leastSharedBytes?: number | undefined
}

const usualGigabytes = 40

/** Garbage that created experts and packed tensors may have left. */
const leastDropped = 100e6

const gigabytesField = number({ from: 0 })

/** The most bytes of all files: GRAFT_PREPARED_GB, by default 40 GB. */
function readMostBytes(environment: Environment): number {
  const asked = environment['GRAFT_PREPARED_GB']
  if (!asked) return usualGigabytes * 1e9
  const problems = gigabytesField.findProblems(Number(asked), 'GRAFT_PREPARED_GB')
  if (problems.length > 0) throw new OptionError(joinProblems(problems))
  return Number(asked) * 1e9
}

export const getPreparedFolder = (environment: Environment = process.env): string =>
  join(getCacheDirectory(environment), 'prepared')

/**
 * Files for the packed weights of a model. Undefined if it has none to pack, where it is small, or
 * where its weights are no files. Throws OptionError for a GRAFT_PREPARED_GB that is not a number.
 */
export async function openPackedFiles({
  weights,
  choice = 'file',
  environment = process.env,
  leastBytes = 16e6,
  leastSharedBytes = 250e6,
}: PackedFilesOptions): Promise<PackedFiles | undefined> {
  const mostBytes = readMostBytes(environment)
  const all = [...weights.tensors.values()]
  const isPacked = choice === 'q4' || choice === 'q8' || all.some(isPackable)
  const bytes = all.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  if (mostBytes === 0 || choice === 'f32' || !isPacked || bytes < leastBytes) return undefined
  const source = await describeSource(weights)
  if (source === undefined) return undefined
  const folder = getPreparedFolder(environment)
  return new FolderFiles({
    folder,
    mostBytes,
    isShared: bytes >= leastSharedBytes,
    model: () => hashModel(weights, source, choice),
  })
}

/** Names, sizes and times of the files that a store reads; undefined if it reads none. */
async function describeSource({ name }: TensorStore): Promise<string | undefined> {
  const found = await stat(name).catch(() => undefined)
  if (!found) return undefined
  const folder = found.isDirectory() ? name : dirname(name)
  const isPart = (other: string): boolean =>
    found.isDirectory()
      ? other.endsWith('.safetensors')
      : other === basename(name) || /-\d{5}-of-\d{5}\.gguf$/.test(other)
  const files = (await readdir(folder)).filter(isPart).sort()
  const facts = await Promise.all(
    files.map(async (file) => {
      const { size, mtimeMs, ino } = await stat(join(folder, file))
      return [file, size, mtimeMs, ino]
    }),
  )
  return JSON.stringify([folder, facts])
}

/**
 * A hash of what the packed weights depend on: the files by size and time, every tensor's name, type
 * and shape, and the values of the vectors.
 */
async function hashModel(
  weights: TensorStore,
  source: string,
  choice: WeightChoice,
): Promise<string> {
  const hash = createHash('sha256')
  const versions = [PACKING_VERSION, process.arch, choice]
  const infos = [...weights.tensors].map(([name, { dtype, shape }]) => [name, dtype, shape])
  hash.update(JSON.stringify([versions, source, infos]))
  for (const [name, { shape }] of weights.tensors)
    if (shape.length === 1) hash.update(viewBytes(await weights.read(name)))
  return hash.digest('hex')
}

interface FolderParts {
  readonly folder: string
  readonly mostBytes: number
  readonly isShared: boolean
  model(): Promise<string>
}

class FolderFiles implements PackedFiles {
  readonly #parts: FolderParts
  readonly #kept = new Map<string, Promise<ReadonlyMap<string, FileTensor> | undefined>>()
  /** By name of a file that this process uses, a promise of the end of writing it. */
  readonly #made = new Map<string, Promise<void>>()
  #model: Promise<string> | undefined

  constructor(parts: FolderParts) {
    this.#parts = parts
  }

  get isShared(): boolean {
    return this.#parts.isShared
  }

  async keep(parts: readonly PackedPart[]): Promise<ReadonlyMap<string, FileTensor> | undefined> {
    const wanted = parts.flatMap(({ tensors }) => tensors)
    for (const kept of this.#kept.values()) {
      const tensors = await kept
      if (tensors && wanted.every((tensor) => isSame(tensors.get(tensor.name), tensor)))
        return new Map(wanted.map(({ name }) => [name, tensors.get(name)!]))
    }
    this.#model ??= this.#parts.model()
    const list = JSON.stringify(wanted.map(({ name, dtype, shape }) => [name, dtype, shape]))
    const key = createHash('sha256')
      .update(await this.#model)
      .update(list)
      .digest('hex')
    const known = this.#kept.get(key) ?? this.#openFile(key.slice(0, 32), parts, wanted)
    this.#kept.set(key, known)
    await known
    dropBuffers(leastDropped) // ONNX Runtime reads and packs all weights next
    return known
  }

  async close(): Promise<void> {
    for (const [name, published] of this.#made) {
      await published
      await rm(join(this.#parts.folder, name), { force: true }).catch(() => undefined)
    }
    this.#made.clear()
  }

  async #openFile(
    key: string,
    parts: readonly PackedPart[],
    wanted: readonly NamedTensor[],
  ): Promise<ReadonlyMap<string, FileTensor> | undefined> {
    const path = getPreparedPath(this.#parts.folder, key)
    const found = await readPrepared(path)
    const isWanted = wanted.every((tensor, i) => isSame(found?.[i], tensor))
    if (found && isWanted) {
      await markUsed(path)
      const { folder } = this.#parts
      await removeLeftovers(folder)
      const name = await linkForUse(folder, key)
      if (name !== basename(path)) this.#made.set(name, Promise.resolve())
      return this.#place(name, found)
    }
    await rm(path, { force: true }).catch(() => undefined) // cut or damaged
    return this.#write(key, parts)
  }

  /** Undefined if the folder cannot be written. */
  async #write(
    key: string,
    parts: readonly PackedPart[],
  ): Promise<ReadonlyMap<string, FileTensor> | undefined> {
    const { folder, mostBytes } = this.#parts
    const temporary = createTemporaryName(key)
    const path = join(folder, temporary)
    const isReady = await prepareFolder(folder, countBytes(parts), mostBytes)
    const file = isReady ? await open(path, 'wx').catch(() => undefined) : undefined
    if (!file) return undefined
    try {
      const written = await writePrepared(file, parts)
      // Syncing takes as long as the disk; the weights can be read before.
      const published = file
        .sync()
        .then(() => linkPrepared(folder, temporary, key))
        .catch(() => undefined)
        .finally(() => file.close())
      this.#made.set(temporary, published)
      return this.#place(temporary, written)
    } catch (error) {
      await file.close()
      await rm(path, { force: true })
      if (isStorageFailure(error)) return undefined
      throw error
    }
  }

  #place(file: string, tensors: readonly PreparedTensor[]): Map<string, FileTensor> {
    const { folder } = this.#parts
    return new Map(
      tensors.map(({ name, dtype, shape, offsetBytes, sizeBytes }) => [
        name,
        { dtype, shape, folder, file, offsetBytes, sizeBytes },
      ]),
    )
  }
}

const isStorageFailure = (error: unknown): boolean =>
  error instanceof Error && 'syscall' in error && 'code' in error

async function prepareFolder(
  folder: string,
  neededBytes: number,
  mostBytes: number,
): Promise<boolean> {
  try {
    await makeDirectory(folder)
    await removeLeftovers(folder)
    return await makeRoom(folder, neededBytes, mostBytes)
  } catch {
    return false
  }
}

const countBytes = (parts: readonly PackedPart[]): number => {
  const widths = { f32: 4, u8: 1 } as const
  return parts.reduce(
    (sum, { tensors }) =>
      sum +
      tensors.reduce(
        (size, { dtype, shape }) =>
          size + shape.reduce((a, b) => a * b, 1) * (widths[dtype as keyof typeof widths] ?? 4),
        0,
      ),
    0,
  )
}

const isSame = (found: NamedTensor | Omit<FileTensor, 'name'> | undefined, wanted: NamedTensor) =>
  found !== undefined &&
  found.dtype === wanted.dtype &&
  found.shape.length === wanted.shape.length &&
  found.shape.every((dim, i) => dim === wanted.shape[i]) &&
  (!('name' in found) || found.name === wanted.name)

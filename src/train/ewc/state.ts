// The state of past tasks that protects them from later ones: the importance of each weight, and
// the anchor. One file next to the adapter, complete or refused. Kirkpatrick et al. 2017
// (arXiv:1612.00796); online: Schwarz et al. 2018 (arXiv:1805.06370).

import { FormatError, NotFoundError } from '../../base/errors.ts'
import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import type { ByteFolder, ByteSink } from '../../formats/byte-source.ts'
import { openSafetensors } from '../../formats/safetensors/reader.ts'
import { encodeSafetensors } from '../../formats/safetensors/writer.ts'
import { computeChecksum } from '../fingerprint.ts'

/**
 * Importance of a layer's change and the change itself: F[i, j] = fisherOut[i] · fisherIn[j], ΔW* =
 * anchorB · anchorA.
 */
export interface ProtectedModule {
  readonly fisherOut: F32Tensor // [out], mean 1
  readonly fisherIn: F32Tensor // [in], mean 1
  readonly anchorA: F32Tensor // [R, in]
  readonly anchorB: F32Tensor // [out, R], multiplied by the adapter's scale
}

export interface EwcState {
  /** Tasks consolidated so far. */
  readonly tasks: number
  /** Σ decayᵏ over them: the total weight of their importances. */
  readonly weight: number
  /** By module path. */
  readonly modules: ReadonlyMap<string, ProtectedModule>
}

export const ewcFile = 'ewc.safetensors'
const version = 1
const parts = ['fisherOut', 'fisherIn', 'anchorA', 'anchorB'] as const

/** The state's tensors by the names that its file has for them. */
export function collectStateTensors({ modules }: Pick<EwcState, 'modules'>): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>()
  for (const [path, module] of modules)
    for (const part of parts) tensors.set(`${path}.${part}`, module[part])
  return tensors
}

/** Writes the state next to an adapter. */
export async function saveEwcState(state: EwcState, sink: ByteSink): Promise<void> {
  const { tasks, weight } = state
  const tensors = collectStateTensors(state)
  const header = { version, tasks, weight, checksum: computeChecksum(tensors) }
  await sink.write(ewcFile, encodeSafetensors(tensors, { 'graft-ewc': JSON.stringify(header) }))
}

/**
 * Reads the state from an adapter's folder; undefined if there is none. Throws FormatError if the
 * file is incomplete, changed or newer.
 */
export async function loadEwcState(folder: ByteFolder): Promise<EwcState | undefined> {
  const source = await folder.open(ewcFile)
  if (!source) return undefined
  const store = await openSafetensors(source)
  try {
    const header = parseHeader(store.metadata['graft-ewc'], source.name)
    const tensors = new Map<string, Tensor>()
    for (const name of store.tensors.keys()) tensors.set(name, await store.read(name))
    if (computeChecksum(tensors) !== header.checksum)
      throw new FormatError(
        `${source.name}: its tensors differ from those that were written. Remove it to continue without protecting earlier tasks.`,
      )
    return {
      tasks: header.tasks,
      weight: header.weight,
      modules: readModules(tensors, source.name),
    }
  } finally {
    await store.close()
  }
}

/** The same, where there must be one. */
export async function requireEwcState(folder: ByteFolder): Promise<EwcState> {
  const state = await loadEwcState(folder)
  if (!state)
    throw new NotFoundError(`${folder.name}: has no ${ewcFile}; consolidate a task first.`)
  return state
}

function parseHeader(
  text: unknown,
  name: string,
): { tasks: number; weight: number; checksum: number } {
  let header: Partial<Record<string, unknown>> = {}
  try {
    header = JSON.parse(String(text)) as typeof header
  } catch {
    throw new FormatError(
      `${name}: is not a state of protected tasks (its header has no readable "graft-ewc").`,
    )
  }
  if (header['version'] !== version)
    throw new FormatError(
      `${name}: is of version ${String(header['version'])}, this program reads ${version}.`,
    )
  const { tasks, weight, checksum: sum } = header
  if (
    typeof tasks !== 'number' ||
    typeof weight !== 'number' ||
    typeof sum !== 'number' ||
    !(weight > 0)
  )
    throw new FormatError(`${name}: its header lacks tasks, weight or checksum.`)
  return { tasks, weight, checksum: sum }
}

function readModules(
  tensors: ReadonlyMap<string, Tensor>,
  name: string,
): Map<string, ProtectedModule> {
  const suffix = '.fisherOut'
  const paths = [...tensors.keys()]
    .filter((key) => key.endsWith(suffix))
    .map((key) => key.slice(0, -suffix.length))
  const part = (path: string, which: (typeof parts)[number]): F32Tensor => {
    const tensor = tensors.get(`${path}.${which}`)
    if (!(tensor?.data instanceof Float32Array))
      throw new FormatError(`${name}: ${path}.${which} is missing or not f32.`)
    return f32(tensor.shape, tensor.data)
  }
  return new Map(
    paths.map((path) => [
      path,
      {
        fisherOut: part(path, 'fisherOut'),
        fisherIn: part(path, 'fisherIn'),
        anchorA: part(path, 'anchorA'),
        anchorB: part(path, 'anchorB'),
      },
    ]),
  )
}

// Collects what graft inspect shows of an adapter: kind, base, settings, tensors as they are
// stored, and the norm of its ΔW by layer.

import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { sizeOf, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { openBaseModel } from '../../graph/base-model.ts'
import { isJointConfig } from '../../adapters/kinds/joint/joint-config.ts'
import type { AdapterConfig } from '../../adapters/kinds/kind.ts'
import type { Adapter } from '../../index.ts'
import { measureAdapterChange, type ModuleChange } from '../../merge/index.ts'
import { readExpertMetadata } from '../../node/expert/expert-notes.ts'
import { readMergeBase } from '../../merge/read-base.ts'
import { resolveModel } from '../../node/models/resolve.ts'
import type { AdapterFormat, FoundAdapter, StoredTensor } from './inspect-sources.ts'
import { removeLayer } from './layer-table.ts'

export interface TensorSummary extends StoredTensor {
  readonly key: string
  readonly shape: readonly number[]
  /** Frobenius norm. */
  readonly norm: number
}

interface InspectValues {
  readonly all: boolean
  readonly model: string | undefined
}

/** Everything about an adapter, and each tensor; without a base only what its own files show. */
export async function inspectAdapter(
  path: string,
  format: AdapterFormat,
  { all, model }: InspectValues,
) {
  const { found, changes } = await openWithBase(path, format, model)
  const { adapter, stored } = found
  const notes = format.name === 'gguf' ? undefined : await readExpertMetadata(path)
  const tensors = [...adapter.tensors].map(([key, tensor]) => summarizeTensor(key, tensor, stored))
  const result = {
    type: 'adapter',
    path,
    format: found.format,
    kind: adapter.kind,
    base: adapter.baseModel ?? null,
    system: notes?.system ?? null,
    config: describeConfig(adapter.config),
    metadata: adapter.metadata ?? {},
    parameters: tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
    sizeBytes: tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    fileBytes: await countFileBytes(found.files),
    types: countTypes(tensors),
    sha256: computeHash(adapter),
    modules: groupTensors(tensors),
    changes: changes.map(
      ({ module: { path: module, layer, inFeatures, outFeatures }, norm, whole }) => ({
        module,
        layer: layer ?? null,
        shape: [outFeatures, inFeatures],
        norm,
        whole,
      }),
    ),
    norm: changes.length > 0 ? Math.hypot(...changes.map(({ norm }) => norm)) : null,
    ...(all ? { tensors } : {}),
  }
  return { result, tensors }
}

export type InspectedAdapter = Awaited<ReturnType<typeof inspectAdapter>>['result']

/** The settings; of an adapter of several kinds those of each. */
function describeConfig(config: AdapterConfig): Readonly<Record<string, unknown>> {
  if (isJointConfig(config))
    return Object.fromEntries(config.parts.map((part) => [part.kind, describeConfig(part.config)]))
  const { peft: _, ...own } = config
  return own as Readonly<Record<string, unknown>>
}

const countFileBytes = async (files: readonly string[]): Promise<number> =>
  (await Promise.all(files.map((file) => stat(file)))).reduce((sum, { size }) => sum + size, 0)

/**
 * With a base named, whatever depends on it is known too: DoRA's and IA3's whole change, the order
 * of rows in a GGUF file.
 */
async function openWithBase(
  path: string,
  format: AdapterFormat,
  model: string | undefined,
): Promise<{ found: FoundAdapter; changes: readonly ModuleChange[] }> {
  if (model === undefined) {
    const found = await format.open(path, undefined)
    return { found, changes: measureAdapterChange(found.adapter) }
  }
  const base = await openBaseModel(await resolveModel(model))
  try {
    const found = await format.open(path, base.graph)
    return {
      found,
      changes: measureAdapterChange(found.adapter, await readMergeBase(base, [found.adapter])),
    }
  } finally {
    await base.weights.close()
  }
}

function summarizeTensor(
  key: string,
  tensor: Tensor,
  kept: ReadonlyMap<string, StoredTensor>,
): TensorSummary {
  let squares = 0
  for (const value of toFloat32(tensor)) squares += value * value
  const { dtype, sizeBytes } = kept.get(key) ?? {
    dtype: tensor.dtype,
    sizeBytes: tensor.data.byteLength,
  }
  return { key, dtype, shape: tensor.shape, sizeBytes, norm: Math.sqrt(squares) }
}

function countTypes(
  tensors: readonly TensorSummary[],
): Record<string, { tensors: number; sizeBytes: number }> {
  const types: Record<string, { tensors: number; sizeBytes: number }> = {}
  for (const { dtype, sizeBytes } of tensors) {
    const known = types[dtype] ?? { tensors: 0, sizeBytes: 0 }
    types[dtype] = { tensors: known.tensors + 1, sizeBytes: known.sizeBytes + sizeBytes }
  }
  return types
}

/**
 * Over names, types, shapes and bytes of what is computed with, in the order of names: the same
 * adapter has the same hash however its file is laid out, and quantised blocks are hashed by their
 * dequantised values.
 */
function computeHash({ tensors }: Adapter): string {
  const hash = createHash('sha256')
  for (const key of [...tensors.keys()].sort()) {
    const { dtype, shape, data } = tensors.get(key)!
    hash.update(`${JSON.stringify([key, dtype, shape])}\n`)
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }
  return hash.digest('hex')
}

/** Tensors of the same name, type and shape in all layers as one line, with their norms. */
function groupTensors(tensors: readonly TensorSummary[]) {
  const groups = new Map<string, TensorSummary[]>()
  for (const line of tensors) {
    const name = JSON.stringify([removeLayer(line.key), line.dtype, line.shape])
    groups.set(name, [...(groups.get(name) ?? []), line])
  }
  return [...groups.values()].map((lines) => {
    const [{ key, dtype, shape }] = lines as [TensorSummary]
    const norms = lines.map(({ norm }) => norm)
    const meanNorm = norms.reduce((sum, norm) => sum + norm, 0) / norms.length
    return {
      name: removeLayer(key),
      dtype,
      shape,
      count: lines.length,
      meanNorm,
      largestNorm: Math.max(...norms),
    }
  })
}

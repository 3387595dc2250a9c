// Checks that an adapter is used with the base that it was trained on: by its copies of base
// weights, which PEFT saves if an embedding is a target, and by the hash of the base. Copies are
// never applied.

import { isBlockType } from '../base/dtype.ts'
import { type Mismatch, MismatchError } from '../base/errors.ts'
import type { Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { toInputName, toPeftKey } from './keys.ts'
import type { WeightOf } from './kinds/kind.ts'
import { listBlockLayers } from './adapted-layers.ts'
import { listSavedTensors, type SavedChoice } from './saved-modules.ts'

const baseCopySuffix = '.base_layer.weight'

/** The module whose own weight a tensor is a copy of. */
export const findBaseCopyPath = (key: string): string | undefined =>
  key.endsWith(baseCopySuffix) ? toInputName(key).slice(0, -baseCopySuffix.length) : undefined

/**
 * Largest relative difference between a copy and the base: about the rounding of 4-bit blocks.
 */
const baseCopyTolerance = 0.1

/** What is wrong with a saved copy of a base weight; undefined if nothing is. */
export function findBaseCopyMismatch(
  key: string,
  path: string,
  tensor: Tensor,
  { model, weightOf }: CheckedBase,
): Mismatch | undefined {
  const got = describeTensorShape(tensor)
  for (const block of model.blocks) {
    const layer = listBlockLayers(block).find(({ module }) => module.path === path)
    if (!layer) continue
    const { kind, inFeatures, outFeatures } = layer.module
    const expected = describeTensorShape({
      shape: kind === 'embedding' ? [inFeatures, outFeatures] : [outFeatures, inFeatures],
    })
    if (got !== expected) return { name: key, got, expected }
    if (!weightOf || !layer.weight) return undefined
    const difference = describeDifference(tensor, weightOf(block.prefix + layer.weight.name))
    if (difference === undefined) return undefined
    return { name: key, got: difference, expected: "the base's own weight" }
  }
  return { name: key, got, expected: 'no such tensor' }
}

/** Largest difference of a value that rounding to bf16 or f16 explains. */
const computeRoundingLimit = (base: number): number =>
  Math.abs(base) * 2 ** -8 + smallestHalfPrecision
const smallestHalfPrecision = 2 ** -24

/** How far a copy is from the base's weight; undefined if rounding explains it. */
function describeDifference(copy: Tensor, weight: Tensor): string | undefined {
  const own = toFloat32(copy)
  const base = toFloat32(weight)
  const differing = own.reduce(
    (count, value, i) =>
      Math.abs(value - base[i]!) <= computeRoundingLimit(base[i]!) ? count : count + 1,
    0,
  )
  if (differing === 0) return undefined
  const distance = Math.sqrt(sumSquares(own.map((value, i) => value - base[i]!)) / sumSquares(base))
  const isInBlocks = isBlockType(copy.dtype) || isBlockType(weight.dtype)
  if (isInBlocks && distance <= baseCopyTolerance) return undefined
  const percent = 100 * distance
  return `a weight ${percent.toFixed(percent < 10 ? 2 : 0)} % away from the base's (${differing} of ${own.length} numbers differ by more than rounding)`
}

/**
 * Compares an adapter's copies of base weights with the base, which is read only where there are
 * some. Throws MismatchError for copies that differ by more than rounding to f16 or bf16, because
 * the base's own weight is used in their place; of a base in blocks, such as 4-bit ones, by more
 * than 10 %.
 */
export async function checkBaseCopies(
  { kind, tensors }: { readonly kind: string; readonly tensors: ReadonlyMap<string, Tensor> },
  model: ModelGraph,
  read: (name: string) => Promise<Tensor | undefined>,
): Promise<void> {
  const mismatches: Mismatch[] = []
  for (const [key, tensor] of tensors) {
    const path = findBaseCopyPath(key)
    if (path === undefined) continue
    const name = findWeightName(model, path)
    const weight = name === undefined ? undefined : await read(name)
    const weightOf = weight && (() => weight)
    const mismatch = findBaseCopyMismatch(key, path, tensor, { model, weightOf })
    if (mismatch) mismatches.push(mismatch)
  }
  if (mismatches.length === 0) return
  throw new MismatchError(
    `The ${kind} adapter does not fit the model`,
    mismatches,
    'It was trained on other weights, which this base would replace. Give the base it was trained on.',
  )
}

/**
 * The metadata's key for the hash of the base that an adapter was trained on: `identity()` of the
 * model.
 */
export const baseHashKey = 'graft_base_sha256'

interface TaughtAdapter {
  readonly baseModel?: string
  readonly metadata?: Readonly<Record<string, string>>
}

interface HashedBase {
  readonly name: string
  identity(): Promise<string>
}

/**
 * How the base differs from the one that the adapter was trained on; undefined if their hashes
 * agree, or the adapter has none. Reads the whole base.
 */
export async function findBaseHashMismatch(
  { baseModel = 'a base without a name', metadata }: TaughtAdapter,
  base: HashedBase,
): Promise<Mismatch | undefined> {
  const expected = metadata?.[baseHashKey]
  if (expected === undefined) return undefined
  const got = await base.identity()
  const describe = (name: string, hash: string): string =>
    `"${name}" (sha-256 ${hash.slice(0, 12)}…)`
  return got === expected
    ? undefined
    : { name: 'base', got: describe(base.name, got), expected: describe(baseModel, expected) }
}

/** What to do if an adapter is used with another base, or with another form of its own. */
export const otherBaseAdvice =
  'Give the base that it learned on; where this one is a form of the same model, such as another quantisation, say so (--any-base; in a program: anyBase).'

/**
 * Throws MismatchError that names both bases if the adapter was trained on weights of another hash.
 */
export async function checkBaseHash(adapter: TaughtAdapter, base: HashedBase): Promise<void> {
  const mismatch = await findBaseHashMismatch(adapter, base)
  if (mismatch)
    throw new MismatchError('The adapter was trained on another base', [mismatch], otherBaseAdvice)
}

/** The checkpoint's name of a module's weight. */
function findWeightName(model: ModelGraph, path: string): string | undefined {
  for (const block of model.blocks) {
    const layer = listBlockLayers(block).find(({ module }) => module.path === path)
    if (layer?.weight) return block.prefix + layer.weight.name
  }
  return undefined
}

/**
 * Removes the additional embeddings of an adapter's file if all of them equal the base's and so
 * change nothing. The rest can be served from slots. Reads the base's weights only where there are
 * some to compare.
 */
export async function dropEqualEmbeddings<
  Of extends { readonly config: SavedChoice; readonly tensors: ReadonlyMap<string, Tensor> },
>(adapter: Of, model: ModelGraph, read: (name: string) => Promise<Tensor>): Promise<Of> {
  const { embeddings = [], ...config } = adapter.config
  for (const [name, { base }] of listSavedTensors(model, { embeddings })) {
    const tensor = adapter.tensors.get(toPeftKey(name))
    if (!tensor || !isSameWeight(tensor, await read(base))) return adapter
  }
  const copies = new Set(embeddings.map((path) => toPeftKey(`${path}.weight`)))
  const tensors = new Map([...adapter.tensors].filter(([key]) => !copies.has(key)))
  return embeddings.length === 0 ? adapter : { ...adapter, config, tensors }
}

/** Largest relative error of rounding to an element type. */
const roundings: Readonly<Record<string, number>> = { f32: 0, f16: 2 ** -10, bf16: 2 ** -8 }

/** Whether a saved weight is another's up to the rounding of either's element type. */
export function isSameWeight(saved: Tensor, base: Tensor): boolean {
  if (describeTensorShape(saved) !== describeTensorShape(base)) return false
  const own = toFloat32(saved)
  const given = toFloat32(base)
  const roundingOf = ({ dtype }: Tensor): number | undefined => roundings[dtype]
  const limits = [roundingOf(saved), roundingOf(base)]
  if (limits.includes(undefined)) {
    const distance = sumSquares(own.map((value, i) => value - given[i]!)) / sumSquares(given)
    return Math.sqrt(distance) <= baseCopyTolerance
  }
  const limit = Math.max(...limits.map(Number))
  return own.every((value, i) => Math.abs(value - given[i]!) <= limit * Math.abs(given[i]!))
}

interface CheckedBase {
  readonly model: ModelGraph
  readonly weightOf: WeightOf | undefined
}

export const describeTensorShape = ({ shape }: { readonly shape: readonly number[] }): string =>
  `[${shape.join(', ')}]`
const sumSquares = (values: Float32Array): number =>
  values.reduce((sum, value) => sum + value * value, 0)

// Shared by the tests of the pool: a tiny model, adapters for it, and the expected contents of
// slots, computed by separate code.

import { createAdapter, type Adapter, type Expert } from '../../../adapters/index.ts'
import { isMixture, mixServingWeights } from '../../../adapters/serving/mixture.ts'
import { computeServingWeights } from '../../../adapters/serving/serving-weights.ts'
import { toSlotFeeds } from '../../../adapters/serving/slots.ts'
import { random } from '../../../base/random.ts'
import { f32, sizeOf, type F32Tensor } from '../../../base/tensor.ts'
import { buildModelGraph } from '../../../graph/build-model.ts'
import { collectWeightShapes } from '../../../graph/model-graph.ts'
import { getArchitecture } from '../../../graph/models/architecture-table.ts'
import { withSlots } from '../../programs/serving-program.ts'
import { stackAdapter } from '../../programs/stack-adapter.ts'
import { stackLinears } from '../../programs/stack-linears.ts'
import type { AdapterPool, Lease } from './adapter-pool.ts'
import type { PoolBase } from './expert-source.ts'
import { countSlotNumbers, createSlotLayout, type SlotLayout } from './slot-layout.ts'

const shape = {
  model_type: 'llama',
  hidden_size: 8,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  intermediate_size: 12,
  vocab_size: 16,
  tie_word_embeddings: true,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 64,
}

export const model = buildModelGraph(getArchitecture(shape).readConfig(shape))
export const { stacks } = stackLinears(model, () => 'alike')
export const layout: SlotLayout = createSlotLayout(model, stacks)

/** Bytes of one slot of a rank class, including the rank of each part. */
export const getSlotBytes = (rank: number): number =>
  4 * (countSlotNumbers(layout, rank) + layout.reduce((n, { parts }) => n + parts.length, 0))

/** Bytes of one row of vectors: v and shift of each output, u of each input of a layer alone. */
export const countVectorBytes = (): number =>
  4 *
  layout.reduce(
    (sum, { inFeatures, outFeatures, parts }) =>
      sum + 2 * outFeatures + (parts.length === 1 ? inFeatures : 0),
    0,
  )

const draw = (dims: readonly number[], seed: number): F32Tensor => {
  const { normal } = random(seed)
  return f32(
    dims,
    Float32Array.from({ length: sizeOf(dims) }, () => 0.1 * normal()),
  )
}

const weights = new Map(
  [...collectWeightShapes(model.blocks)].map(([name, dims], i) => [
    name,
    draw(dims as readonly number[], 1000 + i),
  ]),
)
export const weightOf = (name: string): F32Tensor => weights.get(name)!

export const base: PoolBase = {
  graph: model,
  layout,
  read: async (name) => weightOf(name),
  readFloat: async (name) => weightOf(name),
}

const hasRank = new Set(['lora', 'dora'])

/** An adapter whose tensors differ for each seed. */
export async function makeAdapter(
  seed: number,
  config: Readonly<Record<string, unknown>> = {},
  kind = 'lora',
): Promise<Adapter> {
  const made = await createAdapter(
    kind as 'lora',
    { ...(hasRank.has(kind) && { rank: 2, targets: 'all-linear' }), ...config } as never,
    { graph: model, weightOf },
    { seed },
  )
  const tensors = [...made.tensors].map(([key, tensor], i) => {
    const numbers = draw(tensor.shape, 100 * seed + i)
    const isFactor = key.includes('ia3') || key.includes('magnitude')
    return [
      key,
      isFactor
        ? f32(
            tensor.shape,
            numbers.data.map((x) => 1 + x),
          )
        : numbers,
    ] as const
  })
  return { ...made, tensors: new Map(tensors) }
}

const expectedFeeds = new WeakMap<Expert, ReadonlyMap<string, F32Tensor>>()

/** The feeds of the expert for a program with slots: A, B and vectors, without padding. */
function computeExpectedFeeds(expert: Expert): ReadonlyMap<string, F32Tensor> {
  const known = expectedFeeds.get(expert)
  if (known) return known
  const forms = isMixture(expert)
    ? mixServingWeights(
        expert.mixture.map(({ adapter, weight }) => ({
          weight,
          forms: computeServingWeights(adapter, model, weightOf),
        })),
      )
    : computeServingWeights(expert, model, weightOf)
  const feeds = foldVectors(
    stackAdapter(toSlotFeeds(forms, withSlots(model, stacks, 'all')), stacks),
  )
  expectedFeeds.set(expert, feeds)
  return feeds
}

/** The matrices as slots have them: A·diag(u), diag(v)·B. */
const foldVectors = (feeds: ReadonlyMap<string, F32Tensor>): ReadonlyMap<string, F32Tensor> =>
  new Map(
    [...feeds].map(([name, { shape: dims, data }]) => {
      const module = name.slice(0, -2)
      const width = dims[1]!
      const u = name.endsWith('.A') ? feeds.get(`${module}.u`) : undefined
      const v = name.endsWith('.B') ? feeds.get(`${module}.v`) : undefined
      const factorAt = (i: number): number =>
        u ? u.data[i % width]! : v ? v.data[Math.floor(i / width)]! : 1
      const folded = data.map((value, i) => value * factorAt(i))
      return [name, f32(dims, folded)] as const
    }),
  )

/** The change of a module's outputs, B·A [out, in], without zeros that only pad. */
function multiplyFactors(A: F32Tensor, B: F32Tensor): Float32Array {
  const [rank, inFeatures] = A.shape as [number, number]
  const [outFeatures] = B.shape as [number]
  const product = new Float32Array(outFeatures * inFeatures)
  for (let o = 0; o < outFeatures; o++)
    for (let r = 0; r < rank; r++)
      for (let i = 0; i < inFeatures; i++)
        product[o * inFeatures + i]! += B.data[o * rank + r]! * A.data[r * inFeatures + i]!
  return product
}

/** The same of a slot: A [P·R, in], B [U, unit, R], the parts' rows one below the other. */
function multiplySlot(
  { parts, inFeatures }: SlotLayout[number],
  A: F32Tensor,
  B: F32Tensor,
): Float32Array {
  const rank = B.shape.at(-1)!
  let row = 0
  const products = parts.map(({ outFeatures }, p) => {
    const own = f32(
      [rank, inFeatures],
      A.data.slice(p * rank * inFeatures).subarray(0, rank * inFeatures),
    )
    const rows = B.data.slice(row * rank, (row + outFeatures) * rank)
    row += outFeatures
    return [...multiplyFactors(own, f32([outFeatures, rank], rows))]
  })
  return Float32Array.from(products.flat())
}

const isEqual = (a: Float32Array | undefined, b: Float32Array | undefined): boolean =>
  a !== undefined && b !== undefined && a.length === b.length && a.every((x, i) => x === b[i])

const countNonZero = (tensor: F32Tensor | undefined): number =>
  tensor?.data.filter((value) => value !== 0).length ?? 0

const takeRow = (tensor: F32Tensor | undefined, row: number, length: number) =>
  tensor?.data.subarray(row * length, (row + 1) * length)

/**
 * Names of the tensors in a lease's slot and vectors, single and grouped, that differ from the
 * expert's.
 */
export function findContentProblems(pool: AdapterPool, lease: Lease, expert: Expert): string[] {
  const wanted = computeExpectedFeeds(expert)
  const { rank, vector } = lease
  const alone = rank?.set.slotFeeds(rank.slot)
  const grouped = rank?.set.groupedFeeds(1)
  const problems: string[] = []
  for (const module of layout) {
    const { name } = module
    const product = multiplyFactors(wanted.get(`${name}.A`)!, wanted.get(`${name}.B`)!)
    const [A, B] = [alone?.get(`${name}.A`), alone?.get(`${name}.B`)]
    const found = A && B ? multiplySlot(module, A, B) : new Float32Array(product.length)
    if (!isEqual(found, product)) problems.push(`${name}: B·A`)
    const numbers = ['A', 'B'].map((matrix) => countNonZero(wanted.get(`${name}.${matrix}`)))
    const held = [A, B].map(countNonZero)
    if (`${numbers}` !== `${held}`) problems.push(`${name}: ${held} numbers, expected ${numbers}`)
    for (const [matrix, one] of [
      ['A', A],
      ['B', B],
    ] as const) {
      if (!rank || !one) continue
      const all = grouped!.get(`${name}.1.${matrix}`)!
      if (all.shape[0] !== rank.set.active || all.shape.length !== 4)
        problems.push(`${name}.1.${matrix}: ${all.shape}`)
      if (!isEqual(takeRow(all, rank.slot, one.data.length), one.data))
        problems.push(`${name}.1.${matrix}`)
    }
    for (const part of ['v', 'shift', 'u']) {
      const vectors = pool.vectors.feeds().get(`${name}.${part}`)
      const own = wanted.get(`${name}.${part}`)
      if (own || vectors)
        if (!isEqual(takeRow(vectors, vector, own?.data.length ?? 0), own?.data))
          problems.push(`${name}.${part}`)
    }
  }
  return problems
}

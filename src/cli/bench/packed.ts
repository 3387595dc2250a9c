// Measures adapters that stay packed in memory, in 16, 8 and 4 bits compared with f32: bytes,
// filling a slot, products with one and with sixteen vectors, on the layers of SmolLM2-135M with
// LoRA r16. packed-error.ts measures what packing costs in predictions.

import { computeServingWeights } from '../../adapters/serving/serving-weights.ts'
import {
  countPackedBytes,
  type PackedServingWeights,
  type PackedWeightMap,
  packServingWeights,
} from '../../adapters/serving/packed-weights.ts'
import { addPackedProduct } from '../../adapters/packed/product.ts'
import { unpackInto } from '../../adapters/packed/fill.ts'
import { packedBits } from '../../adapters/packed/packed-tensor.ts'
import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  toBenchmarkRow,
} from './benchmark.ts'
import { measurePackedError } from './packed-error.ts'
import { createSyntheticAdapter, createSyntheticBase } from './synthetic.ts'

const rounds = 40
const fillGoalMs = 10

/** A and B of the layers that share one product in a slot: q, k, v and gate, up. */
const stacks = [
  ['q_proj', 'k_proj', 'v_proj'],
  ['o_proj'],
  ['gate_proj', 'up_proj'],
  ['down_proj'],
] as const

/** One module of a slot, and its layers' forms: A one below the other, B on the diagonal. */
interface SlotPlace {
  readonly a: Float32Array
  readonly b: Float32Array
  readonly parts: readonly string[]
}

function createSlot(forms: PackedWeightMap): SlotPlace[] {
  const layers = new Set([...forms.keys()].map((path) => path.split('.').slice(0, 3).join('.')))
  return [...layers].flatMap((layer) =>
    stacks.map((names): SlotPlace => {
      const parts = names.flatMap((name) =>
        [...forms.keys()].filter((path) => path.startsWith(`${layer}.`) && path.endsWith(name)),
      )
      const held = parts.map((path) => forms.get(path)!)
      const rank = held.reduce((sum, { A }) => sum + A.shape[0]!, 0)
      const outs = held.reduce((sum, { B }) => sum + B.shape[0]!, 0)
      const a = new Float32Array(rank * held[0]!.A.shape[1]!)
      return { a, b: new Float32Array(outs * rank), parts }
    }),
  )
}

/** What an adapter pool does when a row of a cold expert joins. */
function fillSlot(slot: readonly SlotPlace[], forms: PackedWeightMap): void {
  for (const { a, b, parts } of slot) {
    const held = parts.map((path) => forms.get(path)!)
    const rowStride = held.reduce((sum, { A }) => sum + A.shape[0]!, 0)
    let row = 0
    let out = 0
    for (const { A, B, scaling } of held) {
      const [rank, inFeatures] = A.shape as [number, number]
      unpackInto({ values: a, offset: row * inFeatures }, A)
      unpackInto({ values: b, offset: out * rowStride + row, rowStride }, B, scaling)
      row += rank
      out += B.shape[0]!
    }
  }
}

/** Products of every layer with `count` vectors. */
function createProducts(forms: PackedWeightMap, count: number): () => void {
  const fill = (length: number): Float32Array => new Float32Array(length).fill(0.5)
  const calls = [...forms.values()].map(
    ({ A, B, scaling }: PackedServingWeights) =>
      [fill(count * B.shape[0]!), fill(count * A.shape[1]!), { A, B, scaling }] as const,
  )
  return () => {
    for (const [y, x, factors] of calls) addPackedProduct(y, x, factors)
  }
}

function measureMs(work: () => void): number {
  const start = performance.now()
  work()
  return performance.now() - start
}

/** Every form in turn in each round, so that what else the machine does meets all alike. */
function measureInTurns(works: readonly (() => void)[]): number[][] {
  for (const work of works) work() // compiles
  const times = works.map((): number[] => [])
  for (let round = 0; round < rounds; round++)
    for (const [i, work] of works.entries()) times[i]!.push(measureMs(work))
  return times
}

/** Figures of 16, 8 and 4 bits, each with f32's. */
function* compareForms(
  what: string,
  unit: string,
  values: readonly (readonly number[])[],
  goal?: number,
): Generator<BenchmarkRow> {
  const [plain, ...packed] = values as [readonly number[], ...(readonly number[])[]]
  for (const [i, ours] of packed.entries())
    yield toBenchmarkRow({
      name: `${what}, ${packedBits[i]!} bits`,
      unit,
      higherIsBetter: false,
      ours,
      reference: { name: 'f32', values: plain },
      ...(goal !== undefined && { note: `goal: at most ${goal} ${unit}` }),
    })
}

async function* measurePacked(context: BenchmarkContext): AsyncIterable<BenchmarkRow> {
  context.progress('packed: the adapter')
  const base = createSyntheticBase('f32')
  const served = computeServingWeights(createSyntheticAdapter(base), base.graph)
  const plain: PackedWeightMap = new Map(
    [...served].map(([path, form]) => [path, { ...form, scaling: 1 }]),
  )
  const forms = [plain, ...packedBits.map((bits) => packServingWeights(served, bits))]
  const slot = createSlot(plain)
  const bytes = forms.map((form) => [countPackedBytes(form) / 1e6])
  yield* compareForms('held in memory', 'MB', bytes)
  context.progress('packed: filling a slot')
  const fills = forms.map((form) => () => fillSlot(slot, form))
  yield* compareForms('filling a slot', 'ms', measureInTurns(fills), fillGoalMs)
  for (const count of [1, 16]) {
    context.progress(`packed: products with ${count}`)
    const products = forms.map((form) => createProducts(form, count))
    yield* compareForms(
      count === 1 ? 'products with a vector' : `products with ${count} vectors`,
      'ms',
      measureInTurns(products),
    )
  }
  yield* measurePackedError(context)
}

export const packedBenchmark: Benchmark = {
  name: 'packed',
  summary:
    'adapters in 16, 8 and 4 bits in memory against f32: bytes, filling a slot, products, and the error of predictions',
  needs: 'for the error: the model smollm2-135m-instruct and a checkout’s examples',
  run: measurePacked,
}

// Loss and gradients of a step whose batches are distributed over shards. The batches of a shard
// are added in order, and shards by a fixed binary tree, of which each replica has a subtree. So
// the bits are the same for any number of replicas, including one.

import { sizeOf, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import { addValues, sumByTree } from '../exchange.ts'
import type { NamedTensors } from '../losses/loss.ts'
import type { MeasuredBatch } from './note.ts'
import { type ReplicaGroup, shareMeasures } from './replica-group.ts'

type Gradients = ReadonlyMap<string, Tensor>

/** A program's results for one batch. */
export interface BatchGradients {
  readonly loss: number
  readonly gradients: Gradients
  readonly outputs?: NamedTensors
}

export interface SummedStep {
  readonly loss: number
  readonly gradients: Map<string, F32Tensor>
  /** By batch. */
  readonly outputs: NamedTensors[]
}

/** For each shard of this replica, the indices of its batches out of the step's `count`. */
export function listOwnShards(
  { rank, size, shards }: Pick<ReplicaGroup, 'rank' | 'size' | 'shards'>,
  count: number,
): number[][] {
  const own = shards / size
  return Array.from({ length: own }, (_, i) => {
    const shard = rank * own + i
    const length = Math.max(0, Math.ceil((count - shard) / shards))
    return Array.from({ length }, (_place, turn) => shard + turn * shards)
  })
}

/** Gradients of a step as one array, in the order of their names. */
interface FlatLayout {
  readonly length: number
  readonly parts: readonly {
    readonly key: string
    readonly shape: readonly number[]
    readonly at: number
  }[]
}

function planLayout(
  trainable: readonly string[],
  parameters: ReadonlyMap<string, Pick<Tensor, 'shape'>>,
): FlatLayout {
  let length = 0
  const parts = trainable.toSorted().map((key) => {
    const { shape } = parameters.get(key)!
    const part = { key, shape, at: length }
    length += sizeOf(shape)
    return part
  })
  return { length, parts }
}

/** sum += the gradients; a new sum if there is none yet. */
function addFlat(
  sum: Float32Array | undefined,
  gradients: Gradients,
  { length, parts }: FlatLayout,
): Float32Array {
  const into = sum ?? new Float32Array(length)
  for (const { key, at } of parts) {
    const values = gradients.get(key)!.data as Float32Array
    if (!sum) into.set(values, at)
    else for (let i = 0, size = values.length; i < size; i++) into[at + i]! += values[i]!
  }
  return into
}

/** Adds up parts by a binary tree as they arrive, keeping one partial sum for each level. */
function createTreeSum() {
  const open: { readonly level: number; readonly part: Float32Array | undefined }[] = []
  return {
    push(part: Float32Array | undefined): void {
      let level = 0
      let sum = part
      for (; open.at(-1)?.level === level; level++) {
        const left = open.pop()!.part
        sum = left && sum ? addValues(left, sum) : (left ?? sum)
      }
      open.push({ level, part: sum })
    },
    /** After 2ⁿ parts: their sum. */
    getTotal: (): Float32Array | undefined => open[0]?.part,
  }
}

/** The losses of a step by the same tree as its gradients. */
function sumLosses(batches: readonly MeasuredBatch[], shards: number): number {
  const parts: (number | undefined)[] = Array.from({ length: shards }, () => undefined)
  for (const { index, loss } of batches) parts[index % shards] = (parts[index % shards] ?? 0) + loss
  return sumByTree(parts, (left, right) => left + right) ?? 0
}

/** A step's batches, and what computes their gradients. */
export interface DealtStep<Rows> {
  readonly step: number
  /** Batches of the step; this replica builds only its own. */
  readonly count: number
  readonly batches: (places: readonly number[]) => AsyncIterable<Rows>
  readonly compute: (batch: Rows, place: number) => Promise<BatchGradients>
  readonly trainable: readonly string[]
  readonly parameters: ReadonlyMap<string, Tensor>
}

/** Computes this replica's shards of a step and adds up those of all replicas. */
export async function sumShards<Rows>(
  group: ReplicaGroup,
  { step, count, batches, compute, trainable, parameters }: DealtStep<Rows>,
): Promise<SummedStep> {
  const layout = planLayout(trainable, parameters)
  const shards = listOwnShards(group, count)
  const own = batches(shards.flat())[Symbol.asyncIterator]()
  const measured: MeasuredBatch[] = []
  const total = createTreeSum()
  for (const places of shards) {
    let sum: Float32Array | undefined
    for (const index of places) {
      const { value } = (await own.next()) as IteratorYieldResult<Rows>
      const { loss, gradients, outputs } = await compute(value, index)
      sum = addFlat(sum, gradients, layout)
      measured.push({ index, loss, outputs })
    }
    total.push(sum)
  }
  const shared = await shareMeasures(group, step, measured, total.getTotal())
  const sums = shared.sums!
  const gradients = layout.parts.map(({ key, shape, at }) => {
    const values = sums.subarray(at, at + sizeOf(shape))
    return [key, { dtype: 'f32', shape, data: values }] as const
  })
  return {
    loss: sumLosses(shared.batches, group.shards),
    gradients: new Map(gradients),
    outputs: shared.batches.flatMap(({ outputs }) => outputs ?? []),
  }
}

// Whether cached beginnings give equal bits on this machine: kernels are chosen by processor and
// number of threads, so what holds on one machine is tried on each.

import { f32, type Tensor } from '../../src/base/tensor.ts'
import { toEntryName, toPastName } from '../../src/runtime/programs/cached-graph.ts'
import {
  collectPrefillFeeds,
  type StepFeedParts,
} from '../../src/runtime/programs/step/step-feeds.ts'
import type { CompiledStep } from '../../src/runtime/programs/step/step-programs.ts'

const tokens = 53
const cuts = [16, 32, 48]
const capacity = 64

/**
 * Runs 53 tokens whole and cut at 16, 32 and 48, and compares keys, values and hidden states. `feeds`
 * are the adapter's. Costs seven short pieces, about a fifth of a second for a model of 135M.
 */
export async function hasEqualPieces(
  parts: StepFeedParts,
  program: CompiledStep,
  feeds: ReadonlyMap<string, Tensor> = new Map(),
): Promise<boolean> {
  const { vocabularySize } = parts.config
  const ids = Array.from({ length: tokens }, (_, t) => (7 + t * 37) % vocabularySize)
  const run = async (start: number, end: number, past: ReadonlyMap<string, Tensor>) => {
    const span = { ids: [ids.slice(start, end)], lengths: [start], capacity, logits: 0 }
    const own = await collectPrefillFeeds(parts, span)
    return program.run(new Map([...own, ...past, ...feeds]))
  }
  const empty = createPast(parts, new Map(), 0)
  const whole = await run(0, tokens, empty)
  for (const cut of cuts) {
    const before = await run(0, cut, empty)
    const behind = await run(cut, tokens, createPast(parts, before, cut))
    const isEqual =
      hasEqualEntries(parts, whole, before, 0, cut) &&
      hasEqualEntries(parts, whole, behind, cut, tokens) &&
      isSame(whole.get('hidden')!.data as Float32Array, behind.get('hidden')!.data as Float32Array)
    if (!isEqual) return false
  }
  return true
}

/** One row with the given entries in its first slots. */
function createPast(
  { config: { layers, kvHeads, headWidth: d } }: StepFeedParts,
  entries: ReadonlyMap<string, Tensor>,
  length: number,
): Map<string, Tensor> {
  const past = new Map<string, Tensor>()
  for (const layer of layers.keys())
    for (const part of ['k', 'v'] as const) {
      const slots = f32([1, kvHeads, capacity, d])
      const given = entries.get(toEntryName(layer, part))?.data as Float32Array | undefined
      for (let head = 0; head < kvHeads; head++) {
        const own = given?.subarray(head * length * d, (head + 1) * length * d)
        if (own) slots.data.set(own, head * capacity * d)
      }
      past.set(toPastName(layer, part), slots)
    }
  return past
}

/** Whether `piece` holds the entries of tokens `start` to `end` of the whole. */
function hasEqualEntries(
  { config: { layers, kvHeads, headWidth: d } }: StepFeedParts,
  whole: ReadonlyMap<string, Tensor>,
  piece: ReadonlyMap<string, Tensor>,
  start: number,
  end: number,
): boolean {
  const size = (end - start) * d
  return [...layers.keys()].every((layer) =>
    (['k', 'v'] as const).every((part) => {
      const [all, own] = [whole, piece].map(
        (outputs) => outputs.get(toEntryName(layer, part))!.data as Float32Array,
      ) as [Float32Array, Float32Array]
      return Array.from({ length: kvHeads }, (_, head) => head).every((head) => {
        const from = (head * tokens + start) * d
        return isSame(all.subarray(from, from + size), own.subarray(head * size, (head + 1) * size))
      })
    }),
  )
}

const isSame = (a: Float32Array, b: Float32Array): boolean =>
  a.length === b.length && a.every((value, i) => value === b[i])

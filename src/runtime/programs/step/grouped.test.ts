import { createProgramCompiler } from '../program-compiler.ts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { onnxBackend } from '../../../../test/support/onnx.ts'
import {
  createSlotFeeds,
  createTinyAdapter,
  fillSlots,
  openTiny,
  type Tiny,
} from '../../../../test/support/steps.ts'
import type { Adapter } from '../../../adapters/index.ts'
import { f32, type F32Tensor, type Tensor } from '../../../base/tensor.ts'
import {
  collectGainFeeds,
  collectGroupFeeds,
  collectRankFeeds,
  collectVectorFeeds,
} from './step-feeds.ts'
import { createStepPrograms, type StepPrograms } from './step-programs.ts'
import { decodeRows, prefillRow, TestRows, toCacheShape } from './testing.ts'

type Feeds = ReadonlyMap<string, F32Tensor>

let tiny: Tiny
let programs: StepPrograms
let experts: readonly Feeds[]
let base: Feeds
const adapterOf = new Map<Feeds, Adapter>()
beforeAll(async () => {
  tiny = await openTiny('qwen2', 'q4')
  const { base: model, weights } = tiny
  programs = createStepPrograms({
    model: model.graph,
    weights,
    compiler: createProgramCompiler({ weights, backend: onnxBackend }),
  })
  base = createSlotFeeds(tiny, undefined)
  experts = [3, 4, 7, 2, 5].map((rank, seed) => {
    const adapter = createTinyAdapter(tiny, rank, seed)
    const feeds = createSlotFeeds(tiny, adapter)
    adapterOf.set(feeds, adapter)
    return feeds
  })
})
afterAll(async () => {
  await programs.dispose()
  await tiny.base.weights.close()
})

const prompts = [4, 21, 9, 30, 17, 12].map((length, row) =>
  Array.from({ length }, (_, t) => 3 + ((t * 37 + row * 101 + t * t) % 300)),
)
const next = prompts.map((_, row) => 40 + 13 * row)

const measureGap = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)

/** Every row read with its own expert, in one bank. */
async function fillRows(owners: readonly Feeds[]): Promise<TestRows> {
  const { config, weights } = tiny
  const rows = new TestRows(toCacheShape(config), owners.length, 64)
  const prefill = await programs.prefill({ accuracy: 'exact', form: 'shared' })
  for (const [row, feeds] of owners.entries())
    await prefillRow({ config, weights }, prefill, rows, row, prompts[row]!, {
      feeds: [...feeds, ...collectRankFeeds(feeds)],
    })
  return rows
}

/** The logits of every row's next token, each row alone with its expert. */
async function decodeAlone(owners: readonly Feeds[]): Promise<Float32Array[]> {
  const { config, weights } = tiny
  const decode = await programs.decode({ accuracy: 'exact', form: 'shared' })
  const results: Float32Array[] = []
  for (const [row, feeds] of owners.entries()) {
    const rows = new TestRows(toCacheShape(config), 1, 64)
    const prefill = await programs.prefill({ accuracy: 'exact', form: 'shared' })
    await prefillRow({ config, weights }, prefill, rows, 0, prompts[row]!, {
      feeds: [...feeds, ...collectRankFeeds(feeds)],
    })
    results.push(...(await decodeRows({ config, weights }, decode, rows, [next[row]!], feeds)))
  }
  return results
}

interface Members {
  readonly members: readonly Feeds[]
  /** Which of them each row has. */
  readonly slots: readonly (number | undefined)[]
  readonly gains?: readonly number[]
  readonly rank?: number
}

/** Slots that hold these experts, and who reads them. */
function groupFeeds(set: number, { members, rank = 8, ...rows }: Members): [string, Tensor][] {
  const slots = fillSlots(
    tiny,
    rank,
    members.map((feeds) => adapterOf.get(feeds)),
  )
  const { active, units } = slots
  return [...slots.groupedFeeds(set), ...collectGroupFeeds(set, { active, units, ...rows })]
}

async function expectAlone(
  owners: readonly Feeds[],
  sets: number,
  feeds: Iterable<readonly [string, Tensor]>,
): Promise<void> {
  const { config, weights } = tiny
  const expected = await decodeAlone(owners)
  const rows = await fillRows(owners)
  const decode = await programs.decode({ accuracy: 'exact', form: 'grouped', sets })
  const got = await decodeRows(
    { config, weights },
    decode,
    rows,
    next.slice(0, owners.length),
    feeds,
  )
  for (const [row, logits] of got.entries())
    expect(measureGap(logits, expected[row]!), `row ${row}`).toBeLessThan(1e-5)
}

describe('rows grouped by adapter', () => {
  it('give what each gives alone: other ranks, several rows of one adapter, the base', async () => {
    const [a, b, c] = experts as [Feeds, Feeds, Feeds]
    await expectAlone([b, a, base, a, c, a], 1, [
      ...groupFeeds(0, { members: [a, b, c], slots: [1, 0, undefined, 0, 2, 0] }),
    ])
  })
  it('give the same where every place is taken and a row has no adapter', async () => {
    const [a] = experts as [Feeds]
    await expectAlone([a, base, a], 1, [
      ...groupFeeds(0, { members: [a], slots: [0, undefined, 0] }),
    ])
  })
  it('give the same from two sets of unequal rank', async () => {
    const [a, b, c, d, e] = experts as [Feeds, Feeds, Feeds, Feeds, Feeds]
    await expectAlone([d, a, base, c, e, b], 2, [
      ...groupFeeds(0, {
        members: [a, b, d],
        slots: [2, 0, undefined, undefined, undefined, 1],
        rank: 6,
      }),
      ...groupFeeds(1, {
        members: [c, e],
        slots: [undefined, undefined, undefined, 0, 1, undefined],
      }),
    ])
  })
  it('give the base exactly where the gain is 0', async () => {
    const { config, weights } = tiny
    const [a, b] = experts as [Feeds, Feeds]
    const plain = await programs.decode({ accuracy: 'exact' })
    const grouped = await programs.decode({ accuracy: 'exact', form: 'grouped' })
    const [first, second] = [await fillRows([base, base]), await fillRows([base, base])]
    const parts = { config, weights }
    const expected = await decodeRows(parts, plain, first, [7, 8])
    const got = await decodeRows(
      parts,
      grouped,
      second,
      [7, 8],
      groupFeeds(0, { members: [a, b], slots: [1, 0], gains: [0, 0] }),
    )
    expect(got).toEqual(expected)
    expect([...second.past.values()]).toEqual([...first.past.values()])
  })
  it('give what a factor of one expert for all rows gives', async () => {
    const { config, weights } = tiny
    const [a] = experts as [Feeds]
    const shared = await programs.decode({ accuracy: 'exact', form: 'shared', gain: true })
    const grouped = await programs.decode({ accuracy: 'exact', form: 'grouped' })
    const rows = [await fillRows([a, a]), await fillRows([a, a])] as const
    const parts = { config, weights }
    const starts = [0, 100] // the second row's begins to act behind the end
    const expected = await decodeRows(
      parts,
      shared,
      rows[0],
      [7, 8],
      [...a, ...collectGainFeeds(starts, 1, rows[0].lengths)],
    )
    const got = await decodeRows(
      parts,
      grouped,
      rows[1],
      [7, 8],
      groupFeeds(0, { members: [a], slots: [0, 0], gains: [1, 0] }),
    )
    for (const [row, logits] of got.entries())
      expect(measureGap(logits, expected[row]!)).toBeLessThan(1e-5)
    expect(measureGap(got[0]!, got[1]!)).toBeGreaterThan(1e-3)
  })
})

/** A vector set of a neutral entry and one of random factors and shifts. */
function createVectors(feeds: Iterable<string>, widthOf: (name: string) => readonly number[]) {
  const neutral = new Map<string, F32Tensor>()
  const both = new Map<string, F32Tensor>()
  const own = new Map<string, F32Tensor>()
  let seed = 1
  for (const name of feeds) {
    const [width] = widthOf(name) as [number]
    const rest = name.endsWith('.shift') ? 0 : 1
    const values = Float32Array.from({ length: width }, (_, i) => rest + 0.3 * Math.sin(seed++ + i))
    const all = new Float32Array(2 * width).fill(rest)
    all.set(values, width)
    neutral.set(name, f32([1, width], all.subarray(0, width)))
    own.set(name, f32([1, width], values))
    both.set(name, f32([2, width], all))
  }
  return { neutral, own, both }
}

describe('vectors', () => {
  it('are picked by row, together with groups, shared parts and the base', async () => {
    const { config, weights } = tiny
    const [a] = experts as [Feeds]
    const names = [...base.keys()].filter((name) => name.endsWith('.B'))
    const modules = names.map((name) => name.slice(0, -2))
    const inputs = modules.filter((module) => !module.includes('+')).map((module) => `${module}.u`)
    const vectors = createVectors(
      [...modules.flatMap((module) => [`${module}.v`, `${module}.shift`]), ...inputs],
      (name) => {
        const module = name.slice(0, name.lastIndexOf('.'))
        return name.endsWith('.u')
          ? [base.get(`${module}.A`)!.shape[1]!]
          : [
              base
                .get(`${module}.B`)!
                .shape.slice(0, -1)
                .reduce((product, dim) => product * dim),
            ]
      },
    )
    const parts = { config, weights }
    const shared = await programs.decode({ accuracy: 'exact', form: 'shared', vectors: true })
    const alone: Float32Array[] = []
    const cases: readonly (readonly [Feeds, number])[] = [
      [a, 1],
      [base, 1],
      [a, 0],
      [base, 0],
    ]
    for (const [row, [feeds, index]] of cases.entries()) {
      const rows = new TestRows(toCacheShape(config), 1, 64)
      const prefill = await programs.prefill({ accuracy: 'exact', form: 'shared', vectors: true })
      const own = [...feeds, ...(index ? vectors.own : vectors.neutral), ...collectVectorFeeds([0])]
      await prefillRow(parts, prefill, rows, 0, prompts[row]!, {
        feeds: [...own, ...collectRankFeeds(feeds)],
      })
      alone.push(...(await decodeRows(parts, shared, rows, [next[row]!], own)))
    }
    const rows = new TestRows(toCacheShape(config), 4, 64)
    for (const [row, [feeds, index]] of cases.entries()) {
      const prefill = await programs.prefill({ accuracy: 'exact', form: 'shared', vectors: true })
      const own = [...feeds, ...vectors.both, ...collectVectorFeeds([index])]
      await prefillRow(parts, prefill, rows, row, prompts[row]!, {
        feeds: [...own, ...collectRankFeeds(feeds)],
      })
    }
    const grouped = await programs.decode({ accuracy: 'exact', form: 'grouped', vectors: true })
    const got = await decodeRows(parts, grouped, rows, next.slice(0, 4), [
      ...groupFeeds(0, { members: [a], slots: [0, undefined, 0, undefined] }),
      ...vectors.both,
      ...collectVectorFeeds([1, 1, 0, 0]),
    ])
    for (const [row, logits] of got.entries())
      expect(measureGap(logits, alone[row]!), `row ${row}`).toBeLessThan(1e-5)
    expect(measureGap(got[1]!, (await decodeAlone([a, base]))[1]!)).toBeGreaterThan(1e-3)
  })
})

// Activated LoRA in training: starts within packed sequences, shared prefixes, and equal losses
// with and without packing.

import { beforeAll, describe, expect, it } from 'vitest'
import { storiesModel } from '../../../test/support/train.ts'
import { listParameterSpecs } from '../../adapters/adapter.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import type { F32Tensor } from '../../base/tensor.ts'
import { DataError } from '../../base/errors.ts'
import { PADDING, SHARED_PREFIX } from '../../graph/feeds.ts'
import { markActiveTokens, checkInvocation, limitSharedPrefix } from './activation.ts'
import type { Batch } from './batch.ts'
import type { EncodedSequence } from '../data/encode.ts'
import { createGradientProgram } from '../programs/gradient-program.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import { buildBatches, countSharedPrefix } from './packing.ts'
import { train } from '../run/train.ts'

const batchOf = (ids: readonly number[][], segments: readonly number[][]): Batch => ({
  rows: ids.length,
  tokens: ids[0]!.length,
  ids: Int32Array.from(ids.flat()),
  positions: new Int32Array(ids.flat().length),
  segments: Int32Array.from(segments.flat()),
  scored: new Int32Array(),
  labels: new Int32Array(),
  weights: new Float32Array(),
})
const active = (ids: number[][], segments: number[][], invocation: number[]): number[] => [
  ...markActiveTokens(batchOf(ids, segments), invocation).data,
]

describe('activeTokens', () => {
  it('gives every packed sequence a start of its own; no invocation reaches over an end', () => {
    const ids = [[1, 7, 8, 2, 7, 8, 7, 8, 3, 7, 8, 4]]
    expect(active(ids, [[0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 3, 3]], [7, 8])).toEqual([
      0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0,
    ])
  })

  it('does not take padding for an invocation', () => {
    expect(active([[5, 0, 9, 0, 0]], [[0, 0, 0, PADDING, PADDING]], [0])).toEqual([0, 1, 1, 0, 0])
    expect(active([[0, 0, 5, 9, 4]], [[PADDING, PADDING, 0, 0, 0]], [9])).toEqual([0, 0, 0, 1, 1])
  })

  it('looks through a shared beginning with every sequence behind it', () => {
    const beginning = [SHARED_PREFIX, SHARED_PREFIX]
    expect(active([[7, 8, 1, 2]], [[...beginning, 0, 1]], [7, 8])).toEqual([1, 1, 1, 1])
    expect(active([[1, 2, 7, 3, 7, 8]], [[...beginning, 0, 0, 1, 1]], [7])).toEqual([
      0, 0, 1, 1, 1, 1,
    ])
    expect(() => active([[7, 8, 1, 7]], [[...beginning, 0, 1]], [7])).toThrow(/share token 0/)
  })
})

const row = (ids: number[], scoredFrom = ids.length - 2): EncodedSequence => ({
  ids: Int32Array.from(ids),
  weights: Float32Array.from(ids, (_, t) => (t >= scoredFrom ? 1 : 0)),
})

describe('what rows may share', () => {
  const rows = [row([1, 2, 3, 4, 5, 6, 7, 9]), row([1, 2, 3, 4, 5, 6, 8, 9])]
  it('is the whole prefix if all rows become active at one token, else the part before the first activation', () => {
    expect(limitSharedPrefix(rows, 6, [3, 4])).toBe(6)
    expect(limitSharedPrefix(rows, 6, [11])).toBe(6)
    // begins in what is shared and ends in one row
    expect(limitSharedPrefix(rows, 6, [6, 7])).toBe(5)
    expect(limitSharedPrefix([...rows, row([1, 2, 3, 4, 5, 6, 3, 4, 9])], 6, [3, 4])).toBe(2)
    expect(limitSharedPrefix(rows, 6, [7])).toBe(6)
  })

  it('is refused where no row is activated', () => {
    expect(() => checkInvocation({ name: 'rows.jsonl', rows }, [3, 5])).toThrow(DataError)
    expect(() => checkInvocation({ name: 'rows.jsonl', rows }, [3, 5])).toThrow(
      /rows.jsonl: no row contains[^]*3, 5/,
    )
    expect(() => checkInvocation({ name: 'rows.jsonl', rows }, [6, 7])).not.toThrow()
  })
})

describe('training', () => {
  const invocation = [17, 44]
  // All begin alike with the invocation among it; the third says it again; the last lacks it.
  const beginning = [1, 40, 17, 44, 9, 30]
  const rows = [
    row([...beginning, 100, 200, 300]),
    row([...beginning, 101, 201]),
    row([...beginning, 17, 44, 102, 202]),
    row([1, 40, 30, 44, 9, 30, 17, 103, 203]),
  ]
  let model: TrainableModel
  beforeAll(async () => {
    model = await storiesModel()
  })

  async function gradientsOf(
    data: readonly EncodedSequence[],
    lines: readonly (readonly number[])[],
    shared: number,
    checkpointing = false,
  ) {
    const { graph } = model.base
    const options = {
      rank: 2,
      targets: 'all-linear',
      start: 'random',
      loraBias: true,
      invocationTokens: invocation,
    }
    const adapter = initializeAdapter('lora', options, graph, { seed: 3 })
    const trainable = [...listParameterSpecs(graph, adapter).keys()]
    const weights = await model.weights()
    const program = await createGradientProgram({
      graph,
      weights,
      backend: model.backend,
      adapter,
      trainable,
      checkpointing,
    })
    const [batch] = buildBatches({ rows: data, shared }, [lines])
    const result = await program.gradients(batch!, adapter.tensors)
    await program.dispose()
    return result
  }
  const furthest = (a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): number => {
    let most = 0
    for (const [key, tensor] of a) {
      const x = (tensor as F32Tensor).data
      const y = (b.get(key) as F32Tensor).data
      x.forEach((value, i) => (most = Math.max(most, Math.abs(value - y[i]!))))
    }
    return most
  }

  it('gives the same loss and gradients padded, packed, with a shared beginning, and in segments', async () => {
    const padded = await gradientsOf(
      rows,
      rows.map((_, n) => [n]),
      0,
    )
    const packed = await gradientsOf(
      rows,
      [
        [0, 1],
        [2, 3],
      ],
      0,
    )
    expect(packed.loss).toBeCloseTo(padded.loss, 4)
    expect(furthest(packed.gradients, padded.gradients)).toBeLessThan(1e-3)
    const shared = limitSharedPrefix(
      rows.slice(0, 3),
      countSharedPrefix(rows.slice(0, 3)),
      invocation,
    )
    expect(shared).toBe(2)
    const apart = await gradientsOf(rows.slice(0, 3), [[0], [1], [2]], 0)
    const together = await gradientsOf(rows.slice(0, 3), [[0, 1, 2]], shared, true)
    expect(together.loss).toBeCloseTo(apart.loss, 4)
    expect(furthest(together.gradients, apart.gradients)).toBeLessThan(1e-3)
    const alike = rows.slice(0, 2)
    const whole = await gradientsOf(
      alike,
      [[0, 1]],
      limitSharedPrefix(alike, countSharedPrefix(alike), invocation),
    )
    const single = await gradientsOf(alike, [[0], [1]], 0)
    expect(whole.loss).toBeCloseTo(single.loss, 4)
    expect(furthest(whole.gradients, single.gradients)).toBeLessThan(1e-3)
  })

  it('lowers the loss, and refuses data that never invokes the adapter', async () => {
    const encoded = {
      name: 'rows',
      format: 'text',
      rows,
      examples: rows.length,
      cut: 0,
      dropped: 0,
    }
    const run = (tokens: number[]) =>
      train({
        model,
        adapter: {
          kind: 'lora',
          config: { rank: 4, targets: 'all-linear', invocationTokens: tokens },
        },
        data: encoded,
        steps: 6,
        batch: { rows: 2, tokens: 32 },
        learningRate: 0.02,
      })
    const losses: number[] = []
    for await (const event of run(invocation))
      if (event.type === 'step-end') losses.push(event.loss)
    expect(losses).toHaveLength(6)
    expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.5)
    await expect(run([333]).next()).rejects.toThrow(
      /no row contains the adapter's invocation tokens 333/,
    )
  })
})

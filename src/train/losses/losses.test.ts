import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { evaluate } from '../../graph/evaluate.ts'
import { selectLargestShares } from './largest-shares.ts'
import { collectLossFeeds, lossContract, buildLossGraph } from './loss.contract.ts'
import { getLoss, losses } from './loss-table.ts'

/** Options under which each loss is looked at. */
const variants: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>> = {
  contrastive: [{}, { temperature: 0.5, pooling: 'last' }],
  'cross-entropy': [{}],
  dpo: [{}, { beta: 0.7, labelSmoothing: 0.2 }, { beta: 0.4, referenceFree: true }],
  ipo: [{}, { beta: 0.6 }],
  kto: [{}, { beta: 0.8, desirableWeight: 1.3, undesirableWeight: 0.6 }],
  grpo: [{}, { beta: 0.5, clip: 0.05 }, { beta: 0, clip: 3 }],
  rejection: [{}, { least: 0 }],
  simpo: [{}, { beta: 1.5, gamma: 0 }],
  distillation: [
    {},
    { temperature: 2.5, share: 0.6 },
    { temperature: 1.5, top: 3 },
    { top: 3, ahead: true, share: 0 },
    { top: 9 },
  ],
}

for (const [name, all] of Object.entries(variants))
  for (const options of all)
    describe(`${name} ${JSON.stringify(options)}`, () => {
      lossContract(getLoss(name), options)
    })

describe('the table of losses', () => {
  it('has variants for every row', () => {
    expect(Object.keys(variants).sort()).toEqual([...losses.keys()].sort())
  })
  it('names what there is', () => {
    expect(() => getLoss('dop')).toThrow(
      'There is no loss "dop". There are: contrastive, cross-entropy, distillation, dpo, grpo, ipo, kto, rejection, simpo.',
    )
  })
  it.each([
    ['dpo', { beta: 0 }, 'beta: got 0, expected a number above 0'],
    [
      'dpo',
      { labelSmoothing: 0.5, referenceFree: 1 },
      'labelSmoothing: got 0.5, expected a number from 0 to below 0.5; referenceFree: got',
    ],
    [
      'distillation',
      { temperature: -1, share: 2 },
      'temperature: got -1, expected a number above 0; share: got',
    ],
    ['distillation', { ahead: true }, 'ahead needs top'],
  ])('%s refuses %j', (name, options, message) => {
    expect(() => getLoss(name).complete(options)).toThrow(OptionError)
    expect(() => getLoss(name).complete(options)).toThrow(message)
  })
})

describe('distillation', () => {
  const distillation = getLoss('distillation')
  const valueAt = (
    logits: Tensor,
    options: object,
    feeds: ReadonlyMap<string, Tensor>,
  ): Map<string, Tensor> =>
    evaluate(
      buildLossGraph(distillation, distillation.complete({ ...options })),
      new Map([...feeds, ['logits', logits]]),
    )
  /** The teacher's shares as logits that give them again. */
  const copied = (shares: Tensor): Tensor =>
    f32(shape(shares), (shares.data as Float32Array).map(Math.log))
  const shape = ({ shape: dims }: Tensor): readonly number[] => dims

  it('is 0 for a student that predicts what the teacher does, whole or in buckets', () => {
    const whole = collectLossFeeds(distillation, distillation.complete({}))
    const logits = copied(whole.get('teacher.shares')!)
    expect(Math.abs(Number(valueAt(logits, {}, whole).get('loss')!.data[0]))).toBeLessThan(1e-6)
    const buckets = collectLossFeeds(distillation, distillation.complete({ top: 2 }))
    expect(
      Math.abs(Number(valueAt(logits, { top: 2 }, buckets).get('loss')!.data[0])),
    ).toBeLessThan(1e-6)
  })
  it('never finds more in buckets than in the whole vocabulary', () => {
    const logits = f32(
      [7, 7],
      Float32Array.from({ length: 49 }, (_, i) => Math.sin(i)),
    )
    const divergences = [1, 3, 6, 7].map((top) =>
      Number(
        valueAt(
          logits,
          { top },
          collectLossFeeds(distillation, distillation.complete({ top })),
        ).get('divergence')!.data[0],
      ),
    )
    for (const [i, one] of divergences.entries())
      expect(one).toBeGreaterThanOrEqual((divergences[i - 1] ?? 0) - 1e-6)
    expect(divergences[2]).toBeCloseTo(divergences[3]!, 5)
  })
})

describe('the largest shares', () => {
  it('are found at any position, and the remainder is the rest', () => {
    const shares = f32([2, 5], [0.1, 0.4, 0.05, 0.25, 0.2, 0, 0, 0, 0, 1])
    const found = selectLargestShares(shares, 2)
    const ids = Array.from(found.get('ids')!.data as BigInt64Array, Number)
    const own = found.get('shares')!.data as Float32Array
    expect(new Set(ids.slice(0, 2))).toEqual(new Set([1, 3]))
    expect(ids.slice(2)).toContain(4)
    ids.forEach((id, i) => expect(own[i]).toBe((shares.data as Float32Array)[(i < 2 ? 0 : 5) + id]))
    const [mixed, sure] = found.get('entropy')!.data as Float32Array
    expect(mixed).toBeCloseTo(
      0.4 * Math.log(0.4) + 0.25 * Math.log(0.25) + 0.35 * Math.log(0.35),
      6,
    )
    expect(sure).toBe(0)
  })
})

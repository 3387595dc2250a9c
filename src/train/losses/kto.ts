// KTO: answers that were rated good or bad, without pairs. Ethayarajh et al. 2024,
// arXiv:2402.01306.

import { f32, type Tensor } from '../../base/tensor.ts'
import { number, readOptions, type OptionValues } from '../../base/schema.ts'
import type { GraphBuilder } from '../../graph/builder.ts'
import type { Value } from '../../graph/ir.ts'
import { buildTokenLosses } from './cross-entropy.ts'
import { collectValues, type Loss, type LossBatch, type NamedTensors } from './loss.ts'
import { pairsRateFactor, referencePass } from './pairs.ts'

const options = {
  beta: number({
    default: 0.1,
    above: 0,
    about: 'β: larger values keep the expert closer to the reference',
  }),
  desirableWeight: number({ default: 1, from: 0, about: 'weight of a good answer' }),
  undesirableWeight: number({ default: 1, from: 0, about: 'weight of a bad answer' }),
}

/** log π(row) − log ρ(row) of the rows that `name` marks, [P]; ρ is the reference. */
function buildGains(g: GraphBuilder, tokenLosses: Value, name: 'own' | 'other'): Value {
  const marked = g.multiply(g.input(`judged.${name}`, 'f32', ['P', 'M']), tokenLosses) // [P, M]
  const policy = g.scale(g.reduceSum(marked, [1]), -1)
  return g.subtract(policy, g.input(`judged.reference.${name}`, 'f32', ['P']))
}

/**
 * Marks [P, M] of the tokens of each answer and of the row that shares its prompt with another
 * answer; the reference's log-probabilities of both [P]; signs [P]: +1 for a good answer, −1 for a
 * bad one; weights [P].
 */
function computeJudgedFeeds(
  { labelCounts, pairWeights, verdicts, frozen }: LossBatch,
  { desirableWeight, undesirableWeight }: OptionValues<typeof options>,
): Map<string, Tensor> {
  const count = labelCounts.length / 2 // P
  const tokens = labelCounts.reduce((sum, one) => sum + one, 0) // M
  const marks = { own: f32([count, tokens]), other: f32([count, tokens]) }
  const reference = { own: f32([count]), other: f32([count]) }
  const known = frozen.get('logProbabilities')!.data as Float32Array
  let m = 0
  labelCounts.forEach((length, row) => {
    const of = row % 2 === 0 ? 'own' : 'other'
    for (const end = m + length; m < end; m++) {
      marks[of].data[(row >> 1) * tokens + m] = 1
      reference[of].data[row >> 1]! += known[m]!
    }
  })
  const weights = verdicts.map(
    (isGood, i) => pairWeights[i]! * (isGood ? desirableWeight : undesirableWeight),
  )
  const signs = verdicts.map((isGood) => (isGood ? 1 : -1))
  return new Map<string, Tensor>([
    ['judged.own', marks.own],
    ['judged.other', marks.other],
    ['judged.reference.own', reference.own],
    ['judged.reference.other', reference.other],
    ['judged.signs', f32([count], signs)],
    ['judged.weights', f32([count], weights)],
    ['judged.share', f32([count], Array<number>(count).fill(1 / count))],
  ])
}

/** How much more likely good and bad answers have become, times beta; −1 marks the bad ones. */
function reportJudged(outputs: readonly NamedTensors[]): Readonly<Record<string, number>> {
  const rewards = collectValues(outputs, 'rewards')
  const signs = collectValues(outputs, 'signs')
  const computeMean = (sign: number): number | undefined => {
    const own = rewards.filter((_, i) => signs[i] === sign)
    return own.length > 0 ? own.reduce((sum, one) => sum + one, 0) / own.length : undefined
  }
  const good = computeMean(1)
  const bad = computeMean(-1)
  const divergences = collectValues(outputs, 'divergence')
  const divergence = divergences.reduce((sum, one) => sum + one, 0) / divergences.length
  const measures: Record<string, number> = { divergence }
  if (good !== undefined) measures['good'] = good
  if (bad !== undefined) measures['bad'] = bad
  return measures
}

/**
 * r = log π(answer) − log ρ(answer), z₀ = max(0, mean of r over prompts with another row's answer),
 * constant for gradients; loss = mean of λ·(1 − σ(β·(r − z₀))) for good answers and
 * λ·(1 − σ(β·(z₀ − r))) for bad ones. As TRL's loss_type "kto", z₀ taken over a batch.
 */
export const kto: Loss<OptionValues<typeof options>> = {
  name: 'kto',
  about: 'judged answers: λ·(1 − σ(±β·(r − z₀))), r = log π − log ρ, z₀ = KL to the reference',
  options,
  learnsFrom: 'judged',
  rateFactor: pairsRateFactor,
  complete: (given) => readOptions('KTO', given, options),
  graph(g, logits, { beta }) {
    const tokenLosses = buildTokenLosses(g, logits)
    const gains = buildGains(g, tokenLosses, 'own') // r, [P]
    const share = g.input('judged.share', 'f32', ['P'])
    const moved = g.reduceSum(g.multiply(buildGains(g, tokenLosses, 'other'), share), [0])
    const distance = g.op('squareRoot', [g.multiply(moved, moved)]) // |x|, max(0, x) = (x + |x|)/2
    const divergence = g.op('stopGradient', [g.scale(g.add(moved, distance), 0.5)]) // z₀
    const signs = g.input('judged.signs', 'f32', ['P'])
    const signed = g.multiply(g.scale(g.subtract(gains, divergence), beta), signs)
    const lost = g.op('sigmoid', [g.scale(signed, -1)]) // 1 − σ(x) = σ(−x)
    return {
      loss: g.reduceSum(g.multiply(lost, g.input('judged.weights', 'f32', ['P'])), [0]),
      rewards: g.scale(gains, beta),
      signs: g.scale(signs, 1),
      divergence,
    }
  },
  frozen: () => referencePass,
  feeds: computeJudgedFeeds,
  report: reportJudged,
}

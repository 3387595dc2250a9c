// GRPO: group relative policy optimisation, of answers whose rewards can be checked. Shao et al.
// 2024, arXiv:2402.03300; the mean is over tokens, as in DAPO (Yu et al. 2025, arXiv:2503.14476).

import { number, type OptionValues, readOptions } from '../../base/schema.ts'
import { buildTokenLosses, buildWeightedSum } from './cross-entropy.ts'
import { computeTokenValues } from './graded.ts'
import { collectValues, type Loss, type LossBatch, type NamedTensors } from './loss.ts'
import { buildConstant, referencePass } from './pairs.ts'
import { f32, type Tensor } from '../../base/tensor.ts'

const options = {
  beta: number({
    default: 0.04,
    from: 0,
    about: 'weight of the divergence from the policy that wrote the answers',
  }),
  clip: number({
    default: 0.2,
    above: 0,
    about: "clip range: how far a token's likelihood may move, as a share",
  }),
}

/**
 * Slope of the step from unclipped to clipped, whose width is far below the rounding error of a
 * ratio.
 */
const steepness = 1e6

function computeFeeds(batch: LossBatch): Map<string, Tensor> {
  const known = batch.frozen.get('logProbabilities')!.data as Float32Array
  return new Map([
    ['graded.advantages', computeTokenValues(batch, ({ advantage }) => advantage)],
    ['graded.signs', computeTokenValues(batch, ({ advantage }) => Math.sign(advantage))],
    ['graded.reference', f32([known.length], Array.from(known))],
  ])
}

function reportGraded(outputs: readonly NamedTensors[]): Readonly<Record<string, number>> {
  const computeMean = (name: string): number => {
    const values = collectValues(outputs, name)
    return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
  }
  return { clipped: 1 - computeMean('counted'), divergence: computeMean('divergence') }
}

/**
 * ρ = π(token)/π_old(token), π_old the reference, which wrote the answers; loss = Σ_m
 * w_m·(−min(ρ·A, clip(ρ, 1 ± clip)·A) + β·(1/ρ + log ρ − 1)), A the advantage of the token's answer
 * in its group. The last term estimates KL(π ‖ π_old) (Schulman 2020, "k3"). Where the minimum is
 * the clipped one, the token has no gradient but that of the divergence.
 */
export const grpo: Loss<OptionValues<typeof options>> = {
  name: 'grpo',
  about: 'graded answers: −min(ρ·A, clip(ρ)·A) + β·KL, ρ = π/π_old, A the advantage in its group',
  options,
  learnsFrom: 'graded',
  complete: (given) => readOptions('GRPO', given, options),
  graph(g, logits, { beta, clip }) {
    const advantages = g.input('graded.advantages', 'f32', ['M'])
    const signs = g.input('graded.signs', 'f32', ['M'])
    const reference = g.input('graded.reference', 'f32', ['M'])
    const one = buildConstant(g, 1)
    const gained = g.subtract(g.scale(buildTokenLosses(g, logits), -1), reference) // log ρ
    const ratio = g.op('exponential', [gained])
    // clipped where sign·(ρ − 1) is above the bound
    const moved = g.multiply(signs, g.subtract(ratio, one))
    const room = g.subtract(buildConstant(g, clip), moved)
    const counted = g.op('stopGradient', [g.op('sigmoid', [g.scale(room, steepness)])])
    const bound = g.add(one, g.scale(signs, clip)) // 1 ± clip
    const kept = g.multiply(ratio, counted)
    const cut = g.multiply(bound, g.subtract(one, counted))
    const surrogate = g.multiply(advantages, g.add(kept, cut))
    const back = g.op('exponential', [g.scale(gained, -1)])
    const divergence = g.subtract(g.add(back, gained), one)
    const lost = g.subtract(g.scale(divergence, beta), surrogate)
    return { loss: buildWeightedSum(g, lost), counted, divergence }
  },
  frozen: () => referencePass,
  feeds: computeFeeds,
  report: reportGraded,
}

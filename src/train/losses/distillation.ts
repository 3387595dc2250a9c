// Distillation: the expert learns the teacher's distribution. Hinton et al. 2015, arXiv:1503.02531.

import { OptionError } from '../../base/errors.ts'
import type { Tensor } from '../../base/tensor.ts'
import type { GraphBuilder } from '../../graph/builder.ts'
import { getLastDim, type Value } from '../../graph/ir.ts'
import { flag, integer, number, readOptions, type OptionValues } from '../../base/schema.ts'
import { buildTokenLosses, buildWeightedSum } from './cross-entropy.ts'
import { type FrozenPass, type Loss, sumValues } from './loss.ts'
import { selectLargestShares } from './largest-shares.ts'

const options = {
  temperature: number({
    default: 1,
    above: 0,
    about: 'softens both predictions: above 1, unlikely tokens count more',
  }),
  share: number({
    default: 1,
    from: 0,
    to: 1,
    about: 'weight of the teacher; the rest is the cross-entropy of the labels',
  }),
  top: integer({
    default: 0,
    from: 0,
    about:
      'top-k tokens of the teacher that are kept, all others in one bucket; 0: the whole vocabulary',
  }),
  ahead: flag({
    default: false,
    about: 'run the teacher once per row before training and keep its outputs; needs top',
  }),
}

type Settings = OptionValues<typeof options>

/** Whether the teacher's distribution is reduced to its top tokens and one bucket for the rest. */
const hasBuckets = (top: number, logits: Value): boolean =>
  top > 0 && top < Number(getLastDim(logits))

/**
 * KL(teacher ‖ student) of every scored token at a temperature, [M]. `teacher.entropy` is Σ p·log
 * p.
 */
function buildDivergences(g: GraphBuilder, logits: Value, { temperature, top }: Settings): Value {
  const softened = g.scale(logits, 1 / temperature)
  const shares = (width: number): Value => g.input('teacher.shares', 'f32', ['M', width])
  const loss = hasBuckets(top, logits)
    ? g.op('bucketCrossEntropy', [softened, g.input('teacher.ids', 'i64', ['M', top]), shares(top)])
    : g.op('softCrossEntropy', [softened, shares(Number(getLastDim(logits)))])
  return g.add(loss, g.input('teacher.entropy', 'f32', ['M']))
}

/** The teacher's softened distribution: probabilities [M, V] and Σ p·log p [M]. */
const createTeacherPass = ({ temperature, top, ahead }: Settings): FrozenPass => ({
  role: 'teacher',
  ahead,
  graph(g, logits) {
    const softened = g.scale(logits, 1 / temperature)
    const shares = g.softmax(softened)
    if (hasBuckets(top, logits)) return { shares }
    return { shares, entropy: g.scale(g.op('softCrossEntropy', [softened, shares]), -1) }
  },
  condense: (outputs) =>
    outputs.has('entropy') ? new Map(outputs) : selectLargestShares(outputs.get('shares')!, top),
})

/**
 * loss = Σ_m w_m·(share·T²·KL(p ‖ q)_m + (1 − share)·(−log q₁(label_m))), p = softmax(teacher/T), q
 * = softmax(student/T), q₁ at T = 1. The factor T² keeps the gradient's size the same for all
 * temperatures.
 */
export const distillation: Loss<Settings> = {
  name: 'distillation',
  about: 'from a teacher: share·T²·KL(teacher ‖ expert) + (1 − share)·cross-entropy',
  options,
  learnsFrom: 'rows',
  complete(given) {
    const settings = readOptions('Distillation', given, options)
    if (!settings.ahead || settings.top > 0) return settings
    throw new OptionError(
      'Distillation: ahead needs top, since whole vocabularies for all tokens would not fit into memory; try top 64.',
    )
  },
  graph(g, logits, settings) {
    const { share, temperature } = settings
    const divergence = buildWeightedSum(g, buildDivergences(g, logits, settings))
    const taught = g.scale(divergence, share * temperature ** 2)
    if (share === 1) return { loss: taught, divergence }
    const plain = buildWeightedSum(g, buildTokenLosses(g, logits))
    return { loss: g.add(taught, g.scale(plain, 1 - share)), divergence, crossEntropy: plain }
  },
  frozen: createTeacherPass,
  feeds: ({ frozen }) =>
    new Map([...frozen].map(([name, tensor]): [string, Tensor] => [`teacher.${name}`, tensor])),
  report: (outputs) => ({
    divergence: sumValues(outputs, 'divergence'),
    ...(outputs[0]?.has('crossEntropy')
      ? { crossEntropy: sumValues(outputs, 'crossEntropy') }
      : {}),
  }),
}

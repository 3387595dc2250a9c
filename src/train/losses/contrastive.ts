// InfoNCE over texts: an anchor's positive is distinguished from all other texts of the batch. Van
// den Oord et al. 2018, arXiv:1807.03748; with in-batch negatives as sentence-transformers'
// MultipleNegativesRankingLoss (Henderson et al. 2017, arXiv:1705.00652).

import { poolingKey } from '../../adapters/serving/pooling.ts'
import { number, oneOf, type OptionValues, readOptions } from '../../base/schema.ts'
import { f32, i64, type Tensor } from '../../base/tensor.ts'
import type { GraphBuilder } from '../../graph/builder.ts'
import type { Value } from '../../graph/ir.ts'
import type { Loss, LossBatch, NamedTensors } from './loss.ts'

const options = {
  temperature: number({
    default: 0.05,
    above: 0,
    about: 'what cosines are divided by: the smaller, the more the nearest wrong text counts',
  }),
  // in a causal model, the first token does not attend to any other
  pooling: oneOf(['mean', 'last'], {
    default: 'mean',
    about: 'the vector of a text: the mean of its states, or that of the last token',
  }),
}

type Settings = OptionValues<typeof options>

/** Added to a cosine so that the text has no weight. */
const masked = -1e4
/** Far below the mean square of any nonzero state. */
const epsilon = 1e-12

/** The vectors [rows of `pool`, D], scaled to a mean square of 1. */
function buildVectors(g: GraphBuilder, pool: Value, states: Value): Value {
  const width = states.shape[1] as number
  const ones = g.constant(f32([width], new Float32Array(width).fill(1)))
  return g.rmsNorm(g.matmul(pool, states), ones, epsilon)
}

/** One text of a batch. */
interface BatchText {
  /** Its place among the batch's texts. */
  readonly at: number
  /** Its tokens as a key. */
  readonly key: string
}

interface TextGroup {
  readonly anchor: BatchText
  readonly positive: BatchText
  readonly negatives: readonly BatchText[]
}

/** The texts of a batch by groups. */
function readGroups({ batch, labelCounts, groupSize }: LossBatch): TextGroup[] {
  let m = 0
  const texts = labelCounts.map((count, at): BatchText => {
    const places = batch.scored.subarray(m, (m += count))
    return { at, key: Array.from(places, (place) => batch.ids[place]).join() }
  })
  return Array.from({ length: texts.length / groupSize }, (_, group) => {
    const [anchor, positive, ...negatives] = texts.slice(group * groupSize, (group + 1) * groupSize)
    return { anchor: anchor!, positive: positive!, negatives }
  })
}

/**
 * The matrix [texts, M] that pools the states [M, D] of all tokens to the vectors of these texts.
 */
function computePool(
  texts: readonly BatchText[],
  { labelCounts }: LossBatch,
  { pooling }: Settings,
): Tensor {
  const tokens = labelCounts.reduce((sum, count) => sum + count, 0)
  const ends: number[] = []
  for (const count of labelCounts) ends.push((ends.at(-1) ?? 0) + count)
  const pool = f32([texts.length, tokens])
  for (const [row, { at }] of texts.entries()) {
    const end = ends[at]!
    const count = pooling === 'mean' ? labelCounts[at]! : 1
    pool.data.fill(1 / count, row * tokens + end - count, row * tokens + end)
  }
  return pool
}

/**
 * What is added to the cosines [P, C]: a candidate of another group has no weight if it equals the
 * anchor or its positive, or is the positive of an equal anchor.
 */
function computeMask(groups: readonly TextGroup[], candidates: readonly BatchText[]): Tensor {
  const mask = f32([groups.length, candidates.length])
  const anchorOf = new Map(groups.map(({ anchor, positive }) => [positive.at, anchor.key]))
  for (const [p, { anchor, positive, negatives }] of groups.entries()) {
    const own = new Set([positive, ...negatives])
    for (const [c, candidate] of candidates.entries()) {
      const isSame = candidate.key === positive.key || candidate.key === anchor.key
      if (!own.has(candidate) && (isSame || anchorOf.get(candidate.at) === anchor.key))
        mask.data[p * candidates.length + c] = masked
    }
  }
  return mask
}

function computeContrastiveFeeds(batch: LossBatch, settings: Settings): Map<string, Tensor> {
  const groups = readGroups(batch)
  const anchors = groups.map(({ anchor }) => anchor)
  const candidates = [
    ...groups.map(({ positive }) => positive),
    ...groups.flatMap(({ negatives }) => negatives),
  ]
  return new Map<string, Tensor>([
    ['contrastive.anchors', computePool(anchors, batch, settings)],
    ['contrastive.candidates', computePool(candidates, batch, settings)],
    ['contrastive.mask', computeMask(groups, candidates)],
    ['contrastive.labels', i64([groups.length], Array.from(groups.keys()))],
    ['contrastive.weights', f32([groups.length], batch.pairWeights)],
  ])
}

/**
 * The share of anchors whose positive is nearest, and the mean difference of its cosine and that of
 * the nearest other text.
 */
function reportRanks(outputs: readonly NamedTensors[]): Readonly<Record<string, number>> {
  const margins = outputs.flatMap((one) => {
    const { shape, data } = one.get('cosines')!
    const [anchors, candidates] = shape as [number, number]
    if (candidates === 1) return []
    return Array.from({ length: anchors }, (_, p) => {
      const row = (data as Float32Array).subarray(p * candidates, (p + 1) * candidates)
      return row[p]! - row.reduce((most, value, c) => (c === p ? most : Math.max(most, value)), -1)
    })
  })
  if (margins.length === 0) return {}
  return {
    accuracy: margins.filter((margin) => margin > 0).length / margins.length,
    margin: margins.reduce((sum, margin) => sum + margin, 0) / margins.length,
  }
}

/**
 * s(i, c) = cos(anchor i, candidate c)/τ, candidates being the positives and negatives of the whole
 * batch; loss = weighted mean of −log softmax(s(i, ·)) at the anchor's own positive.
 */
export const contrastiveLoss: Loss<Settings> = {
  name: 'contrastive',
  about:
    'texts to embed: −log of the positive’s share of exp(cosine/τ) over all texts of the batch',
  options,
  learnsFrom: 'groups',
  complete: (given) => readOptions('The contrastive loss', given, options),
  graph(g, _logits, { temperature }, states) {
    const width = states.shape[1] as number
    const [anchors, candidates] = (
      [
        ['anchors', 'P'],
        ['candidates', 'C'],
      ] as const
    ).map(([name, rows]) =>
      buildVectors(g, g.input(`contrastive.${name}`, 'f32', [rows, 'M']), states),
    ) as [Value, Value]
    // the vectors' squares sum up to D
    const products = g.matmul(anchors, candidates, { transB: true, alpha: 1 / width })
    const cosines = g.add(products, g.input('contrastive.mask', 'f32', ['P', 'C']))
    const labels = g.input('contrastive.labels', 'i64', ['P'])
    const lost = g.op('crossEntropy', [g.scale(cosines, 1 / temperature), labels])
    const weights = g.input('contrastive.weights', 'f32', ['P'])
    return { loss: g.reduceSum(g.multiply(lost, weights), [0]), cosines }
  },
  describe: ({ pooling }) => ({ [poolingKey]: pooling }),
  feeds: computeContrastiveFeeds,
  report: reportRanks,
}

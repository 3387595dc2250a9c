// From logits to the next token. Pure: the same logits, history and random state give the same
// token. Independent of model and text.
//
// Order of the steps, as in transformers' generate (each skipped at its neutral value):
//   processors (penalties, bias, bans) → temperature → top-k → top-p → min-p → one draw.
// llama.cpp puts temperature last instead; with temperature 1 the two agree.

import type { Random } from '../../base/random.ts'
import type { OptionValues } from '../../base/schema.ts'
import type { LogitsProcessor, ProcessorContext } from './processors/processor.ts'
import type { samplingFields } from './sampling-options.ts'

/** The id of the largest logit, the lowest on a tie. NaN never wins. */
export function selectGreedy(logits: Float32Array): number {
  const whole = logits.length - (logits.length % 4)
  let best = 0
  let top = -Infinity
  const look = (id: number): void => {
    if (!(logits[id]! > top)) return
    best = id
    top = logits[id]!
  }
  // Four at a time: nearly none of them is larger than the best so far, so this halves the time.
  for (let id = 0; id < whole; id += 4) {
    const isLarger =
      logits[id]! > top || logits[id + 1]! > top || logits[id + 2]! > top || logits[id + 3]! > top
    if (isLarger) for (let i = id; i < id + 4; i++) look(i)
  }
  for (let id = whole; id < logits.length; id++) look(id)
  return best
}

/** Tokens that are left, the most likely first, with probabilities that add up to 1. */
export interface Candidates {
  readonly ids: readonly number[]
  readonly probabilities: readonly number[]
}

const normalize = (ids: readonly number[], weights: readonly number[]): Candidates => {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return { ids, probabilities: weights.map((weight) => weight / total) }
}

const keepFirst = ({ ids, probabilities }: Candidates, count: number): Candidates =>
  normalize(ids.slice(0, count), probabilities.slice(0, count))

// Buckets of the distance to the largest logit: sorting a whole vocabulary takes longer than
// computing the logits, so only the nearest buckets that hold enough are sorted. 64 nats reach down
// to 1e-28 of the best token's probability.
const BUCKETS = 1024
const PER_NAT = 16

export type Cuts = Readonly<Record<'topK' | 'topP' | 'minP', number>>

/**
 * The ids near the largest logit that the first cut can keep, and the sum of exp((logit − largest)
 * / temperature) over all ids.
 */
function shortlist(
  logits: Float32Array,
  temperature: number,
  { topK, topP, minP }: Cuts,
): { ids: number[]; total: number; top: number } {
  const top = logits[selectGreedy(logits)]!
  const counts = new Uint32Array(BUCKETS)
  const masses = new Float64Array(BUCKETS)
  const buckets = new Uint16Array(logits.length)
  let total = 0
  for (let id = 0; id < logits.length; id++) {
    const distance = (top - logits[id]!) / temperature
    const bucket = (buckets[id] =
      // BUCKETS: impossible
      distance < Infinity ? Math.min(BUCKETS - 1, distance * PER_NAT) : BUCKETS)
    if (bucket === BUCKETS) continue
    const mass = Math.exp(-distance)
    counts[buckets[id]!]!++
    masses[buckets[id]!]! += mass
    total += mass
  }
  let count = 0
  let mass = 0
  const last = counts.findIndex((here, bucket) => {
    count += here
    mass += masses[bucket]!
    if (topK > 0) return count >= topK
    return topP < 1 ? mass >= topP * total : minP > 0 && bucket >= -Math.log(minP) * PER_NAT
  })
  const ids: number[] = []
  const limit = last === -1 ? BUCKETS - 1 : last
  for (let id = 0; id < buckets.length; id++) if (buckets[id]! <= limit) ids.push(id)
  return { ids, total, top }
}

/**
 * softmax(logits / temperature): the topK largest in falling order, equal ones in the order of
 * their ids. Without top-k, at least the tokens that top-p or min-p can keep. If nothing is cut,
 * tokens are in the order of ids.
 */
export function rankTokens(logits: Float32Array, temperature: number, cuts: Cuts): Candidates {
  const { ids, total, top } = shortlist(logits, temperature, cuts)
  if (cuts.topK > 0 || cuts.topP < 1 || cuts.minP > 0)
    ids.sort((a, b) => logits[b]! - logits[a]! || a - b)
  const probabilities = ids.map((id) => Math.exp((logits[id]! - top) / temperature) / total)
  return cuts.topK > 0 ? keepFirst({ ids, probabilities }, cuts.topK) : { ids, probabilities }
}

/** The shortest run of most likely tokens whose probabilities reach p. Holtzman et al. 2019. */
export function keepTopP(candidates: Candidates, p: number): Candidates {
  if (p >= 1) return candidates
  let sum = 0
  const count = candidates.probabilities.findIndex((probability) => (sum += probability) >= p) + 1
  return keepFirst(candidates, count === 0 ? candidates.ids.length : count)
}

/** Tokens at least `fraction` as likely as the most likely one. Nguyen et al. 2024. */
export function keepMinP(candidates: Candidates, fraction: number): Candidates {
  if (fraction === 0) return candidates
  const limit = fraction * candidates.probabilities[0]!
  return keepFirst(
    candidates,
    candidates.probabilities.filter((probability) => probability >= limit).length,
  )
}

/** One draw; `uniform` is in [0, 1). */
export function drawToken({ ids, probabilities }: Candidates, uniform: number): number {
  let sum = 0
  const index = probabilities.findIndex((probability) => (sum += probability) > uniform)
  return ids[index === -1 ? ids.length - 1 : index]! // rounding may leave the sum a little below 1
}

/** Chooses the next token. Logits [V] are not changed. */
export type Sampler = (logits: Float32Array, context: ProcessorContext) => number

/**
 * A sampler from checked options; it draws from `random` once per token, and not at all when
 * greedy.
 */
export function createSampler(
  {
    temperature,
    topK,
    topP,
    minP,
  }: Pick<OptionValues<typeof samplingFields>, keyof Cuts | 'temperature'>,
  random: Pick<Random, 'uniform'>,
  processors: readonly LogitsProcessor[] = [],
): Sampler {
  return (given, context) => {
    const logits = processors.length === 0 ? given : given.slice()
    for (const processor of processors) processor.apply(logits, context)
    if (temperature === 0) return selectGreedy(logits)
    const ranked = rankTokens(logits, temperature, { topK, topP, minP })
    return drawToken(keepMinP(keepTopP(ranked, topP), minP), random.uniform())
  }
}

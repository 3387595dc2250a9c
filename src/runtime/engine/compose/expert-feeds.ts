// Which form of program a call's experts need, and what they feed: one expert for all rows directly
// from its slot, several experts by groups of rows. Independent of tokens and caches.

import type { Tensor } from '../../../base/tensor.ts'
import {
  collectGainFeeds,
  collectGroupFeeds,
  collectRankFeeds,
  collectVectorFeeds,
} from '../../programs/step/step-feeds.ts'
import type { StepNeeds } from '../../programs/step/step-graph.ts'
import { type ExpertRow, type ExpertTerm, listTerms } from './expert-terms.ts'
import type { AdapterPool, Lease, VectorSet, VectorTerm } from '../pool/adapter-pool.ts'

export interface ExpertCall {
  readonly needs: Pick<StepNeeds, 'form' | 'sets' | 'vectors' | 'gain'>
  readonly feeds: ReadonlyMap<string, Tensor>
}

/** One token of many rows, or a piece of one prompt. */
export type CallKind = 'prefill' | 'decode'

interface RankedRows {
  readonly tasks: readonly ExpertRow[]
  /** By task, the experts that act on its next token. */
  readonly terms: readonly (readonly ExpertTerm[])[]
  readonly tokens: number
}

/** What matrices feed. */
interface RankFeeds {
  readonly form: NonNullable<StepNeeds['form']>
  readonly sets: number
  readonly gain: boolean
  readonly feeds: readonly [string, Tensor][]
}

export class ExpertFeeds {
  readonly #pool: AdapterPool

  constructor(pool: AdapterPool) {
    this.#pool = pool
  }

  /** For `tokens` new tokens of each sequence. */
  collect(kind: CallKind, tasks: readonly ExpertRow[], tokens: number): ExpertCall {
    this.#pool.arrange()
    const terms = tasks.map((task) => listTerms(task, tokens))
    const vectors = terms.map(listVectors)
    const isVectored = vectors.some((own) => own.length > 0)
    const { form, sets, gain, feeds } = collectRanks(kind, { tasks, terms, tokens })
    const vectorFeeds = isVectored ? collectVectors(this.#pool.vectors, vectors) : []
    return {
      needs: { form, gain, vectors: isVectored, sets },
      feeds: new Map([...feeds, ...vectorFeeds]),
    }
  }
}

const listVectors = (terms: readonly ExpertTerm[]): VectorTerm[] =>
  terms.flatMap(({ lease: { vector }, gain }) => (gain > 0 && vector > 0 ? [{ vector, gain }] : []))

/** A row of the set for each sequence; sums are computed if one is between two experts. */
function collectVectors(
  set: VectorSet,
  rows: readonly (readonly VectorTerm[])[],
): [string, Tensor][] {
  if (rows.some((own) => own.some(({ gain }) => gain !== 1)))
    return [...collectVectorFeeds([...rows.keys()]), ...set.blend(rows)]
  return [...collectVectorFeeds(rows.map(([own]) => own?.vector ?? 0)), ...set.feeds()]
}

function collectRanks(kind: CallKind, rows: RankedRows): RankFeeds {
  const ranked = rows.terms.map((own) => own.filter(({ lease }) => lease.rank))
  const [first] = ranked[0]!
  if (ranked.every((own) => own.length === 0))
    return { form: 'none', sets: 1, gain: false, feeds: [] }
  const isShared =
    first !== undefined &&
    ranked.every(([own, other]) => own?.lease.handle.key === first.lease.handle.key && !other) &&
    rows.tasks.every(({ stages }, n) => !stages || ranked[n]![0]!.gain === 1)
  return isShared ? collectShared(kind, rows, first.lease.rank!) : collectGrouped(ranked)
}

/** One expert for all rows. It needs a factor only if it does not act on some of the tokens yet. */
function collectShared(
  kind: CallKind,
  { tasks, tokens }: RankedRows,
  { set, slot }: NonNullable<Lease['rank']>,
): RankFeeds {
  const lengths = tasks.map(({ computed }) => computed)
  const starts = tasks.map(({ activeFrom }) => activeFrom)
  const gain = starts.some((start, n) => start > lengths[n]!)
  const factors = gain ? collectGainFeeds(starts, tokens, lengths) : []
  const matrices = set.slotFeeds(slot)
  const ranks = kind === 'prefill' ? collectRankFeeds(matrices) : []
  return { form: 'shared', sets: 1, gain, feeds: [...matrices, ...ranks, ...factors] }
}

/**
 * Rows in groups by expert. A row is in one group of each set of the program, so the slots of one
 * rank class are fed as two sets where a row is between two experts of that class.
 */
function collectGrouped(ranked: RankedRows['terms']): RankFeeds {
  const classes = new Set(ranked.flat().map(({ lease }) => lease.rank!.set))
  const sets = [...classes].flatMap((set) => {
    const own = ranked.map((terms) => terms.filter(({ lease }) => lease.rank!.set === set))
    const most = Math.max(...own.map(({ length }) => length))
    return Array.from({ length: most }, (_, i) => ({ set, terms: own.map((terms) => terms[i]) }))
  })
  const feeds = sets.flatMap(({ set, terms }, s) => {
    const places = terms.map((term) => term?.lease.rank!.slot)
    const used = places.filter((slot) => slot !== undefined)
    // Active slots at either end are left out while their rows are still in prefill.
    const first = Math.min(...used)
    const active = Math.max(...used) + 1 - first
    const slots = places.map((slot) => slot && slot - first)
    const gains = terms.map((term) => term?.gain ?? 1)
    return [
      ...collectGroupFeeds(s, { active, slots, units: set.units, gains }),
      ...set.groupedFeeds(s, { first, count: active }),
    ]
  })
  return { form: 'grouped', sets: sets.length, gain: false, feeds }
}

// Which form of program a call's experts need, and what they feed: one expert for all rows as it
// lies in its slot, several by groups of rows. Independent of tokens and caches.

import type { Tensor } from '../../base/tensor.ts'
import {
  collectGainFeeds,
  collectGroupFeeds,
  collectRankFeeds,
  collectVectorFeeds,
} from '../programs/step/step-feeds.ts'
import type { StepNeeds } from '../programs/step/step-graph.ts'
import type { AdapterPool, Lease, RankSet } from './pool/adapter-pool.ts'
import type { ServedSequence } from './request.ts'
import { isVirtual } from './sequence-rows.ts'

export interface ExpertCall {
  readonly needs: Pick<StepNeeds, 'form' | 'sets' | 'vectors' | 'gain'>
  readonly feeds: ReadonlyMap<string, Tensor>
}

/** One token of many rows, or a piece of one prompt. */
export type CallKind = 'prefill' | 'decode'

interface RankedRows {
  readonly tasks: readonly ServedSequence[]
  readonly leases: readonly (Lease | undefined)[]
  readonly sets: readonly RankSet[]
  readonly tokens: number
}

/** Whether the expert acts on the last of `tokens` new tokens; the shared form's gain says on which. */
const isActing = ({ row, activeFrom }: ServedSequence, tokens: number): boolean =>
  activeFrom < row!.length + tokens

export class ExpertFeeds {
  readonly #pool: AdapterPool

  constructor(pool: AdapterPool) {
    this.#pool = pool
  }

  /** For `tokens` new tokens of each sequence. */
  collect(kind: CallKind, tasks: readonly ServedSequence[], tokens: number): ExpertCall {
    this.#pool.arrange()
    const leases = tasks.map((task) => (isVirtual(task) ? undefined : task.lease))
    const sets = [...new Set(leases.flatMap((lease) => lease?.rank?.set ?? []))]
    const isVectored = leases.some((lease) => lease && lease.vector > 0)
    const { form, gain, feeds } = this.#collectRanks(kind, { tasks, leases, sets, tokens })
    const vectors = isVectored
      ? [
          ...collectVectorFeeds(
            leases.map((lease, n) => (lease && isActing(tasks[n]!, tokens) ? lease.vector : 0)),
          ),
          ...this.#pool.vectors.feeds(),
        ]
      : []
    return {
      needs: { form, gain, vectors: isVectored, sets: Math.max(1, sets.length) },
      feeds: new Map([...feeds, ...vectors]),
    }
  }

  #collectRanks(
    kind: CallKind,
    { tasks, leases, sets, tokens }: RankedRows,
  ): { form: NonNullable<StepNeeds['form']>; gain: boolean; feeds: [string, Tensor][] } {
    if (sets.length === 0) return { form: 'none', gain: false, feeds: [] }
    const lengths = tasks.map(({ row }) => row!.length)
    const starts = tasks.map(({ activeFrom }) => activeFrom)
    const first = leases[0]
    if (first?.rank && leases.every((lease) => lease?.handle.key === first.handle.key)) {
      // Only in a call where the expert does not yet act on some tokens it needs a factor.
      const gain = starts.some((start, n) => start > lengths[n]!)
      const { set, slot } = first.rank
      const factors = gain ? collectGainFeeds(starts, tokens, lengths) : []
      const matrices = set.slotFeeds(slot)
      const ranks = kind === 'prefill' ? collectRankFeeds(matrices) : []
      return { form: 'shared', gain, feeds: [...matrices, ...ranks, ...factors] }
    }
    const gains = tasks.map((task) => (isActing(task, tokens) ? 1 : 0))
    const feeds = sets.flatMap((set, s) => {
      const slots = leases.map((lease) => (lease?.rank?.set === set ? lease.rank.slot : undefined))
      return [...collectGroupFeeds(s, set.active, slots, gains), ...set.groupedFeeds(s)]
    })
    return { form: 'grouped', gain: false, feeds }
  }
}

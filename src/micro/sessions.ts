// Figures of feedback by session. Independent of: weights.

import type { SavedSession } from './files/saved-meta.ts'
import { RecentMap } from './recent-map.ts'
import { addLoss, addQuality, computeVariance, createRewardState } from './reward.ts'

/** Figures of one session's feedback. */
export interface SessionStatistics {
  readonly adaptations: number
  /** Feedback that had a quality or a rating. */
  readonly samples: number
  readonly meanQuality: number
  /** Of the qualities, divided by samples − 1. */
  readonly variance: number
  /** Mean of the first ten losses of targets, and the running mean; 0 before the first. */
  readonly firstLoss: number
  readonly recentLoss: number
}

const rememberedSessions = 256

export class Sessions {
  readonly #records = new RecentMap<SavedSession>(rememberedSessions)

  add(session: string, quality: number | undefined, loss: number | undefined): void {
    const record = this.#records.get(session) ?? {
      session,
      adaptations: 0,
      quality: createRewardState(),
    }
    this.#records.set(session, record)
    record.adaptations++
    if (quality !== undefined) addQuality(record.quality, quality)
    if (loss !== undefined) addLoss(record.quality, loss)
  }

  /** By session, the one heard of last at the end. */
  statistics(): Map<string, SessionStatistics> {
    return new Map(
      Array.from(this.#records.values(), ({ session, adaptations, quality }) => [
        session,
        {
          adaptations,
          samples: quality.count,
          meanQuality: quality.mean,
          variance: computeVariance(quality),
          firstLoss: quality.firstLoss,
          recentLoss: quality.recentLoss,
        },
      ]),
    )
  }

  /** A copy of everything. */
  list(): SavedSession[] {
    return Array.from(this.#records.values(), copyRecord)
  }

  /** Restores what `list` gave. */
  restore(saved: readonly SavedSession[]): void {
    this.#records.clear()
    for (const record of saved) this.#records.set(record.session, copyRecord(record))
  }
}

const copyRecord = ({ session, adaptations, quality }: SavedSession): SavedSession => ({
  session,
  adaptations,
  quality: { ...quality },
})

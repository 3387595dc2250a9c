// Which of a trial's two versions answers a request: always the same one for the same user, so that
// no user meets both. Independent of how many requests came before.

import { computeSha256Sync } from '../../base/sha256-sync.ts'
import type { Trial, TrialSide } from './trial.ts'

/** `who`: a user's name, or anything that identifies the request. */
export function assignSide({ number, id, share }: Trial, who: string): TrialSide {
  const text = JSON.stringify([number, id, who])
  const digits = computeSha256Sync(new TextEncoder().encode(text)).slice(0, 12)
  return Number.parseInt(digits, 16) / 2 ** 48 < share ? 'candidate' : 'incumbent'
}

// Turns each request into a row of usage.

import type { UsageLedger } from '../usage/usage-ledger.ts'
import type { RequestObserver } from './account.ts'

/** Requests to open paths and to unknown paths are not recorded. */
export const createUsageRecorder = (ledger: UsageLedger): RequestObserver => ({
  onEnd: (account) => {
    const { route, key, expert, user, tokens } = account
    if (route === undefined || route.scope === 'open' || account.status === 429) return
    ledger.add({
      day: new Date(account.startedAt).toISOString().slice(0, 10),
      key: key?.name ?? '',
      expert,
      user,
      requests: 1,
      failed: account.isFailed ? 1 : 0,
      promptTokens: tokens.prompt,
      cachedTokens: tokens.cached,
      completionTokens: tokens.completion,
    })
  },
})

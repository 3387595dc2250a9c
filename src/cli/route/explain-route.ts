// What graft route explain does: one decision with its scores and the evidence for it.

import { quoteText } from '../../route/calibration/make-decision.ts'
import type { Terminal } from '../ui/terminal.ts'
import { openRouter, type RouterValues } from './open-router.ts'

const mostScores = 5

export async function explainRoute(
  path: string,
  text: string,
  values: RouterValues,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<unknown> {
  const opened = await openRouter(path, values, terminal)
  try {
    const { router } = opened
    const { features: _features, ...decision } = await router.decide({ text }, signal)
    const clues = (await router.explain?.({ text }, signal)) ?? []
    terminal.print(decision.reason)
    for (const { expert, score } of decision.scores.slice(0, mostScores))
      terminal.print(`  ${`${(score * 100).toFixed(1)} %`.padStart(7)}  ${expert}`)
    if (clues.length > 0) terminal.print('')
    for (const { kind, text: own, expert, weight } of clues)
      terminal.print(
        `  ${weight.toFixed(3).padStart(7)}  ${kind.padEnd(8)} ${quoteText(own)}${expert === undefined ? '' : ` (${expert})`}`,
      )
    return {
      router: path,
      kind: router.kind,
      text,
      ...decision,
      expert: decision.expert ?? null,
      clues,
    }
  } finally {
    await opened.close()
  }
}

// Adds a number to the logits of given tokens, and makes given tokens impossible.

import type { LogitsProcessor } from './processor.ts'

/** `bias`: by token id in decimal, as JSON has it. */
export function createLogitBias(
  bias: Readonly<Record<string, number>>,
): LogitsProcessor | undefined {
  const entries = Object.entries(bias).map(([id, value]) => [Number(id), value] as const)
  if (entries.length === 0) return undefined
  return {
    apply(logits) {
      for (const [id, value] of entries) if (id in logits) logits[id]! += value
    },
  }
}

export const createBan = (ids: readonly number[]): LogitsProcessor | undefined =>
  ids.length === 0
    ? undefined
    : {
        apply(logits) {
          for (const id of ids) if (id in logits) logits[id] = -Infinity
        },
      }

// The usage of a streamed answer: so far in each chunk, and in total at the end.

import { sumUsage } from '../requests/collect-answers.ts'
import type { AnswerEvent, AnswerUsage } from '../../service.ts'
import { toUsageBody, type UsageBody } from './usage.ts'

export interface ChunkUsage {
  take(event: AnswerEvent): void
  /** Tokens read and written so far. */
  describeSoFar(): UsageBody
  describeAll(): UsageBody
}

export function createChunkUsage(copies: number): ChunkUsage {
  const usages: AnswerUsage[] = []
  const written = new Map<number, number>()
  let promptTokens = 0
  return {
    take(event) {
      if (event.type === 'start')
        promptTokens = event.promptTokens.reduce((sum, count) => sum + count, 0)
      else if (event.type === 'delta') written.set(event.index, event.completionTokens)
      else if (event.type === 'end') {
        usages[event.index] = event.usage
        written.set(event.index, event.usage.completionTokens)
      }
    },
    describeSoFar() {
      const completionTokens = [...written.values()].reduce((sum, count) => sum + count, 0)
      return toUsageBody({ promptTokens, cachedTokens: 0, completionTokens, reasoningTokens: 0 })
    },
    describeAll: () => toUsageBody(sumUsage(usages, copies)),
  }
}

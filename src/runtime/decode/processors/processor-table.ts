// All logits processors in the order in which they act, which is transformers' order; a grammar
// acts last.

import type { OptionValues } from '../../../base/schema.ts'
import type { samplingFields } from '../sampling-options.ts'
import { createCountPenalty } from './count-penalty.ts'
import { type AllowedTokens, createGrammarMask } from './grammar-mask.ts'
import { createLeastTokens } from './least-tokens.ts'
import { createBan, createLogitBias } from './logit-bias.ts'
import type { LogitsProcessor } from './processor.ts'
import { createRepetitionPenalty } from './repetition-penalty.ts'

type Settings = OptionValues<typeof samplingFields> & { readonly minTokens: number }

const table: readonly ((
  settings: Settings,
  eosIds: ReadonlySet<number>,
  allowed: AllowedTokens | undefined,
) => LogitsProcessor | undefined)[] = [
  ({ repetitionPenalty }) => createRepetitionPenalty(repetitionPenalty),
  ({ frequencyPenalty, presencePenalty }) => createCountPenalty(frequencyPenalty, presencePenalty),
  ({ logitBias }) => createLogitBias(logitBias),
  ({ bannedTokens }) => createBan(bannedTokens),
  ({ minTokens }, eosIds) => createLeastTokens(minTokens, eosIds),
  (_settings, eosIds, allowed) => createGrammarMask(allowed, eosIds),
]

/** Those that change something at these settings. */
export const createProcessors = (
  settings: Settings,
  eosIds: ReadonlySet<number>,
  allowed?: AllowedTokens,
): LogitsProcessor[] => table.flatMap((create) => create(settings, eosIds, allowed) ?? [])

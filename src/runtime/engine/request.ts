// A checked request to the engine, and the task that answers it: the sequence, its text and its
// resources while it runs. Independent of programs.

import { ContextLengthError, OptionError } from '../../base/errors.ts'
import type { OptionValues } from '../../base/schema.ts'
import type { PlannedStage } from './compose/resolve-expert.ts'
import type { BlockKeyChain } from './kv/block-keys.ts'
import type { KvRow } from './kv/kv-memory.ts'
import type { ExpertHandle, Lease } from './pool/adapter-pool.ts'
import { Answer, type AnswerParts, type Generation, type TextDelta } from './answer.ts'
import type { CopyGroup } from './copy-group.ts'
import { EventQueue } from './event-queue.ts'
import type { generateFields } from './generate-options.ts'
import type { Speculation } from './drafts/speculation.ts'
import type { PromptScores } from './prompt-scores.ts'
import { createSequence, type Sequence } from './sequence.ts'

export type GenerateEvent = TextDelta | ({ readonly type: 'generation-end' } & Generation)

export type Settings = Omit<OptionValues<typeof generateFields>, 'adapter'>

/** A sequence with everything that the engine keeps for it. */
export interface ServedSequence extends Sequence {
  readonly settings: Settings
  /** undefined: the base. */
  readonly handle: ExpertHandle | undefined
  readonly answer: Answer
  readonly events: EventQueue<GenerateEvent>
  /** Tokens of the prompt, without virtual ones. */
  readonly promptTokens: number
  /** Virtual tokens before the prompt. */
  readonly virtualTokens: number
  /** If experts change within the answer: all stages, including the first. */
  readonly stages: readonly PlannedStage[] | undefined
  /** The position from which the expert acts; 0 where it acts on all tokens. */
  readonly activeFrom: number
  /** Set if the request speculates. */
  readonly speculation: Speculation | undefined
  /** Set if the prompt's tokens are scored. */
  readonly scores: PromptScores | undefined
  /** The answers to this prompt, if the request asked for several. */
  readonly copies: CopyGroup<ServedSequence> | undefined
  /** The keys of its full blocks. */
  readonly chain: BlockKeyChain
  /** How many tokens the chain has hashed. */
  chained: number
  /**
   * How many tokens are computed in pieces: all but those decoded since the sequence got its row.
   */
  readTokens: number
  /** Positions that came from the cache when the sequence began. */
  cachedTokens: number
  lease: Lease | undefined
  /** Of the stages behind the first one. */
  laterLeases: readonly (Lease | undefined)[]
  row: KvRow | undefined
  /**
   * The request was withdrawn; the sequence ends before the next call, its reader gets the reason.
   */
  cancelled: { readonly reason: unknown } | undefined
  /** Milliseconds: when it got its row, its first token and its last one. */
  readonly times: { started: number; first: number; last: number }
}

export interface ServedSequenceParts {
  readonly id: number
  readonly now: number
  /** Ids, without virtual tokens. */
  readonly prompt: readonly number[]
  readonly settings: Settings
  readonly handle: ExpertHandle | undefined
  readonly stages: readonly PlannedStage[] | undefined
  readonly virtualIds: readonly number[]
  readonly activeFrom: number
  /** Added to the seed. */
  readonly index: number
  readonly chain: BlockKeyChain
  readonly speculation: Speculation | undefined
  readonly scores: PromptScores | undefined
  readonly copies: CopyGroup<ServedSequence> | undefined
}

/**
 * Throws OptionError for an empty prompt, and ContextLengthError for one that leaves no room for a
 * requested answer.
 */
export function checkPrompt(promptTokens: number, contextTokens: number, maxTokens = 1): void {
  if (promptTokens === 0)
    throw new OptionError('The prompt is empty: a model needs at least one token to continue.')
  if (promptTokens + Math.min(1, maxTokens) > contextTokens) {
    const withAnswer = maxTokens > 0 ? ', including the answer' : ''
    throw new ContextLengthError(
      `The prompt has ${promptTokens} tokens; the model's context has ${contextTokens}${withAnswer}. Shorten the prompt.`,
    )
  }
}

export function createServedSequence(
  given: ServedSequenceParts,
  parts: AnswerParts,
): ServedSequence {
  const { id, now, prompt, settings, handle, virtualIds, activeFrom, index, chain } = given
  const { scores, copies, stages, speculation } = given
  checkPrompt(virtualIds.length + prompt.length, parts.contextTokens, settings.maxTokens)
  const sequence = createSequence({
    id,
    arrivedAt: now,
    expert: handle?.key ?? '',
    tokens: [...virtualIds, ...prompt],
  })
  return Object.assign(sequence, {
    settings,
    handle,
    stages,
    answer: new Answer(sequence.tokens, settings, parts, index),
    events: new EventQueue<GenerateEvent>(),
    promptTokens: prompt.length,
    virtualTokens: virtualIds.length,
    activeFrom,
    speculation,
    scores,
    copies,
    chain,
    chained: 0,
    readTokens: 0,
    cachedTokens: 0,
    lease: undefined,
    laterLeases: [],
    row: undefined,
    cancelled: undefined,
    times: { started: 0, first: 0, last: 0 },
  })
}

export function toGeneration({
  answer,
  times,
  promptTokens,
  cachedTokens,
  scores,
}: ServedSequence): Generation {
  const { started, first, last } = times
  const prompt = { promptTokens, cachedTokens, ...(scores && { promptLogprobs: scores.tokens }) }
  return answer.toGeneration(first - started, last - first, prompt)
}

// Checks of an engine's options and requests, before anything is queued.

import { OptionError } from '../../base/errors.ts'
import { describeValue } from '../../base/schema.ts'
import { computeCacheShape } from '../../graph/cache-shape.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import { computeBlockLength } from './kv/block-states.ts'
import { BLOCK_SIZE, type KvElement } from './kv/kv-types.ts'
import { countElementBytes } from './kv/values.ts'
import type { Settings } from './request.ts'

/** Throws OptionError for several answers to a request that taps states. */
export function checkCopies({ states }: Settings): void {
  if (states)
    throw new OptionError('The option states takes one answer at a time: use add, not addCopies.')
}

export function checkPieceTokens(pieceTokens: number): void {
  if (pieceTokens % BLOCK_SIZE !== 0)
    throw new OptionError(
      `Engine options: pieceTokens: got ${pieceTokens}, expected a multiple of ${BLOCK_SIZE}.`,
    )
}

/** A block in bytes: keys and values of its tokens, and the states behind it. */
const countBlockBytes = (config: ModelConfig, element: KvElement): number =>
  countElementBytes(element) * computeBlockLength(computeCacheShape(config), element)

interface KvBudget {
  readonly kvBytes?: number | undefined
  readonly kvElement: KvElement
}

interface KvModel {
  readonly config: ModelConfig
  readonly contextTokens: number
}

/**
 * The bytes of keys and values: the given number, else 1 GiB or what the whole context needs,
 * whichever is more.
 */
export const chooseKvBytes = (
  { config, contextTokens }: KvModel,
  { kvBytes, kvElement }: KvBudget,
): number =>
  kvBytes ??
  Math.max(2 ** 30, Math.ceil(contextTokens / BLOCK_SIZE) * countBlockBytes(config, kvElement))

export function countBlocks(model: KvModel, budget: KvBudget): number {
  const blockBytes = countBlockBytes(model.config, budget.kvElement)
  const bytes = chooseKvBytes(model, budget)
  const blocks = Math.floor(bytes / blockBytes)
  if (blocks === 0)
    throw new OptionError(
      `Engine options: kvBytes: got ${bytes}, expected at least ${blockBytes}, which one block of ${BLOCK_SIZE} tokens takes.`,
    )
  return blocks
}

/** Throws for invalid ids, because one would also fail other requests in the same call. */
export function checkPromptIds(
  prompt: readonly number[] | undefined,
  { vocabularySize }: ModelConfig,
): asserts prompt is readonly number[] {
  if (!Array.isArray(prompt))
    throw new OptionError(
      `Generation options: prompt: got ${describeValue(prompt)}, expected token ids; model.encode makes them from text or messages.`,
    )
  const wrong = prompt.findIndex((id) => !(Number.isInteger(id) && id >= 0 && id < vocabularySize))
  if (wrong >= 0)
    throw new OptionError(
      `Token ${wrong} of the prompt: got id ${prompt[wrong]}, expected an integer below the vocabulary's ${vocabularySize}.`,
    )
}

export function checkStage({ stage, states, promptLogprobs, speculate }: Settings): void {
  if (speculate === true && stage && !stage.stage.dropRows)
    throw new OptionError(
      'Generation options: speculate computes tokens that may be dropped again, and this stage has no dropRows; leave speculate out.',
    )
  if (stage && promptLogprobs !== undefined)
    throw new OptionError(
      'Generation options: promptLogprobs are by the model’s own head, and this request has its own stage; leave one of them out.',
    )
  const layer = stage?.stage.tapLayer
  if (layer !== undefined && states && states.layer !== layer)
    throw new OptionError(
      `Generation options: the stage reads the states of layer ${layer}, states those of layer ${states.layer}; expected one layer.`,
    )
}

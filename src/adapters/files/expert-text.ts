// An expert's tokenizer, chat template and date: those of its training if its adapters have their
// own, else the base's. Independent of programs.

import { OptionError, UnsupportedError } from '../../base/errors.ts'
import type { ChatTemplate } from '../../formats/text/chat-template.ts'
import { parseDay } from '../../formats/text/day.ts'
import {
  listSpecialTokens,
  type SpecialTokens,
  type Tokenizer,
} from '../../formats/text/tokenizer.ts'
import type { BaseModel } from '../../graph/base-model.ts'
import { listAdaptableModules } from '../adapted-layers.ts'
import { type Adapter, type AdapterText, dateKey } from '../adapter.ts'
import { toPeftKey } from '../keys.ts'
import { type Expert, isMixture } from '../serving/mixture.ts'
import { isWeightZero } from '../serving/part-weight.ts'
import { findTokens } from '../saved-modules.ts'
import { tokenRowsName } from '../trainable-tokens.ts'
import { parseAdapterText } from './adapter-text.ts'

/** What is needed of a base model to read text for it. */
export type TextBase = Pick<BaseModel, 'name' | 'tokenizer' | 'chatTemplate' | 'graph'>

export interface ExpertText {
  readonly tokenizer: Tokenizer | undefined
  readonly chatTemplate: ChatTemplate | undefined
  readonly specialTokens: SpecialTokens
  /** Ids whose token is not the base's. */
  readonly otherTokens: ReadonlyMap<number, string>
}

const textsOfBases = new WeakMap<object, Map<AdapterText | undefined, ExpertText>>()

/** The base's if the adapter has none. Parsed once for each base and content. */
function getAdapterText(base: TextBase, text: AdapterText | undefined): ExpertText {
  const known = textsOfBases.get(base) ?? new Map<AdapterText | undefined, ExpertText>()
  textsOfBases.set(base, known)
  const found = known.get(text)
  if (found) return found
  const made = createExpertText(base, text)
  known.set(text, made)
  return made
}

function createExpertText(base: TextBase, text: AdapterText | undefined): ExpertText {
  const basic = {
    tokenizer: base.tokenizer,
    chatTemplate: base.chatTemplate,
    specialTokens: base.tokenizer ? listSpecialTokens(base.tokenizer) : {},
    otherTokens: new Map<number, string>(),
  }
  if (text === undefined) return basic
  const own = parseAdapterText(text)
  const others = base.tokenizer ? own.listOtherTokens(base.tokenizer) : []
  return {
    tokenizer: own.tokenizer ?? basic.tokenizer,
    chatTemplate: own.chatTemplate ?? basic.chatTemplate,
    specialTokens: own.tokenizer
      ? listSpecialTokens(own.tokenizer)
      : Object.assign({}, basic.specialTokens, own.specialTokens),
    otherTokens: new Map(others.map(([token, id]) => [id, token])),
  }
}

const listExpertAdapters = (expert: Expert | undefined): readonly Adapter[] =>
  expert === undefined
    ? []
    : isMixture(expert)
      ? expert.mixture.flatMap(({ adapter, weight }) => (isWeightZero(weight) ? [] : [adapter]))
      : [expert]

const isSameReading = (a: ExpertText, b: ExpertText): boolean =>
  a === b ||
  [
    [a.chatTemplate, b.chatTemplate],
    [a.specialTokens, b.specialTokens],
    [[...a.otherTokens], [...b.otherTokens]],
  ].every(([one, other]) => JSON.stringify(one) === JSON.stringify(other))

/**
 * This expert's tokenizer and template. Throws OptionError for a mixture whose adapters have
 * different ones, FormatError for an adapter's file that cannot be read.
 */
export function getExpertText(base: TextBase, expert: Expert | undefined): ExpertText {
  const texts = listExpertAdapters(expert).map(({ text }) => getAdapterText(base, text))
  const [first = getAdapterText(base, undefined), ...others] = texts
  if (others.every((other) => isSameReading(first, other))) return first
  throw new OptionError(
    'The adapters of this mixture have different chat templates or tokenizers, so it is not clear how a prompt is read. ' +
      'Encode it for one of them, and give the ids: model.encode(prompt, {}, adapter).',
  )
}

/** The tokenizer of answers: the base's if a mixture has no common one. */
export function getAnswerTokenizer(
  base: TextBase,
  expert: Expert | undefined,
): Tokenizer | undefined {
  const tokenizers = new Set(
    listExpertAdapters(expert).map(({ text }) => getAdapterText(base, text).tokenizer),
  )
  return tokenizers.size === 1 ? [...tokenizers][0] : base.tokenizer
}

/** The date that the expert's templates printed in training; undefined if its adapters differ. */
export function findTaughtDate(expert: Expert | undefined): Date | undefined {
  const days = new Set(listExpertAdapters(expert).map(({ metadata }) => metadata?.[dateKey]))
  const [day] = days
  return days.size === 1 && day !== undefined ? parseDay(day) : undefined
}

/**
 * Throws UnsupportedError for an id that is a different token or no token in the base, unless an
 * adapter of the expert has trained its row.
 */
export function checkTokensKnown(
  ids: readonly number[],
  base: TextBase,
  expert: Expert | undefined,
): void {
  const { otherTokens } = getExpertText(base, expert)
  if (otherTokens.size === 0) return
  const adapters = listExpertAdapters(expert)
  const rows = base.graph.config.vocabularySize
  for (const id of new Set(ids)) {
    const token = otherTokens.get(id)
    if (token === undefined) continue
    const named = `token ${id}, ${JSON.stringify(token)}`
    if (id >= rows)
      throw new UnsupportedError(
        `The expert's own tokenizer gives ${named}, but the base "${base.name}" has ${rows} tokens. ` +
          'Give a base to which it was added: in Python, model.resize_token_embeddings(size), then save it.',
      )
    const replaced = base.tokenizer?.decode([id]) ?? ''
    if (replaced !== '' && !adapters.some((adapter) => hasTrainedRow(adapter, id, base)))
      throw new UnsupportedError(
        `The expert's own tokenizer gives ${named}, which is ${JSON.stringify(replaced)} in the base "${base.name}", ` +
          'and the expert has trained no embedding for it. Give the base that it was trained on, or token ids.',
      )
  }
}

/** Whether the adapter trains this row of the embedding, by itself or with the whole table. */
function hasTrainedRow({ config, tensors }: Adapter, id: number, { graph }: TextBase): boolean {
  const embedding = listAdaptableModules(graph).find(({ kind }) => kind === 'embedding')
  if (!embedding) return false
  if (findTokens(config.trainableTokens, embedding.path)?.includes(id)) return true
  const path = toPeftKey(`${embedding.path}.`)
  return [...tensors.keys()].some((key) => key.startsWith(path) && !key.endsWith(tokenRowsName))
}

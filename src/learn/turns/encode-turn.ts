// Turns as token ids: an example's prompt and completion, encoded with the tokenizer and template
// of the expert that answers. Independent of users and tiers.

import { NotFoundError, OptionError } from '../../base/errors.ts'
import { describeValue, type Field, isRecord, joinProblems } from '../../base/schema.ts'
import type { Expert } from '../../adapters/serving/mixture.ts'
import { checkTokensKnown, getExpertText } from '../../adapters/files/expert-text.ts'
import type { Model, Prompt } from '../../runtime/index.ts'
import type { EncodedSequence } from '../../train/data/encode.ts'

/** An example to learn from, or a canary: a prompt and its right completion. */
export interface TurnExample {
  readonly prompt: Prompt
  readonly completion: string
}

/** A prompt and its answer, one after the other. */
export interface EncodedTurn {
  readonly ids: readonly number[]
  readonly promptTokens: number
}

/** A turn as a training row: only the answer's tokens have a weight. */
export const toEncodedExample = ({ ids, promptTokens }: EncodedTurn): EncodedSequence => ({
  ids: Int32Array.from(ids),
  weights: Float32Array.from(ids, (_, t) => (t >= promptTokens ? 1 : 0)),
})

/** What is wrong with an example. */
export function listExampleProblems(example: unknown): string[] {
  if (!isRecord(example)) return [`got ${describeValue(example)}, expected { prompt, completion }`]
  const { prompt, completion } = example
  const problems: string[] = []
  if (typeof prompt !== 'string' && !Array.isArray(prompt))
    problems.push(`prompt: got ${describeValue(prompt)}, expected a string, messages or token ids`)
  if (typeof completion !== 'string')
    problems.push(`completion: got ${describeValue(completion)}, expected a string`)
  return problems
}

const findListProblems = (value: unknown, name: string): string[] =>
  Array.isArray(value)
    ? value.flatMap((example, i) =>
        listExampleProblems(example).map((problem) => `${name}[${i}]: ${problem}`),
      )
    : [`${name}: got ${describeValue(value)}, expected a list of { prompt, completion }`]

/** An option that is a list of examples. */
export const turnExamplesField: Field<readonly TurnExample[]> = {
  expected: 'a list of { prompt, completion }',
  schema: { type: 'array' },
  is: (value): value is readonly TurnExample[] => findListProblems(value, '').length === 0,
  findProblems: findListProblems,
}

/**
 * An example's ids, by the expert's own tokenizer and template where it has them. Throws
 * OptionError for an invalid example or an empty prompt, NotFoundError for a model without a
 * tokenizer, UnsupportedError for a token that is another one in the base.
 */
export function encodeTurn(
  model: Model,
  { prompt, completion }: TurnExample,
  expert: Expert | undefined,
): EncodedTurn {
  const problems = listExampleProblems({ prompt, completion })
  if (problems.length > 0)
    throw new OptionError(`This turn cannot be learned: ${joinProblems(problems)}`)
  const promptIds = model.encode(prompt, {}, expert)
  if (promptIds.length === 0)
    throw new OptionError(
      'This turn cannot be learned: its prompt is empty, expected at least one token before the answer.',
    )
  const { tokenizer } = getExpertText(model.base, expert)
  if (!tokenizer)
    throw new NotFoundError(
      `Model "${model.base.name}" has no tokenizer, so it cannot learn completions.`,
    )
  const answer = [
    ...tokenizer.encode(completion),
    ...(tokenizer.eosId === undefined ? [] : [tokenizer.eosId]),
  ]
  checkTokensKnown(answer, model.base, expert)
  return { ids: [...promptIds, ...answer], promptTokens: promptIds.length }
}

// A hundred prompts of many kinds, for comparing two ways of computing the same model. Always the
// same ones, so that figures compare.

import type { BaseModel } from '../../graph/base-model.ts'
import type { Prompt } from '../prompt.ts'

const subjects = [
  'the sea',
  'a bicycle',
  'prime numbers',
  'an old clock',
  'bread',
  'the moon',
  'a computer program',
  'the city of Rome',
  'a small dog',
  'the theory of evolution',
]

const forms: readonly ((subject: string) => string)[] = [
  (subject) => `Once upon a time there was ${subject}, and`,
  (subject) => `Write a short poem about ${subject}.`,
  (subject) => `The three most important facts about ${subject} are: 1.`,
  (subject) => `Question: What is special about ${subject}?\nAnswer:`,
  (subject) => `{"topic": ${JSON.stringify(subject)}, "summary": "`,
  (subject) => `Translate into French: I have always liked ${subject}.\n`,
  (subject) => `def describe():\n    """Returns a sentence about ${subject}."""\n    return "`,
  (subject) => `My grandmother never talked about ${subject}, because`,
  (subject) => `In a recent study, researchers looked at ${subject} and found that`,
  (subject) => `${subject[0]!.toUpperCase()}${subject.slice(1)} is`,
]

export const probePrompts: readonly string[] = subjects.flatMap((subject) =>
  forms.map((form) => form(subject)),
)

/**
 * The first `count` of the prompts; for a model without a tokenizer, as many rows of six ids spread
 * over its vocabulary.
 */
export function selectProbePrompts(
  { tokenizer, config: { vocabularySize } }: Pick<BaseModel, 'tokenizer' | 'config'>,
  count: number,
): Prompt[] {
  if (tokenizer) return probePrompts.slice(0, count)
  return Array.from({ length: count }, (_, row) =>
    Array.from({ length: 6 }, (__, i) => (7 * (row + 1) * (i + 1) ** 2) % vocabularySize),
  )
}

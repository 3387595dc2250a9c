// The options of improving an expert from users' feedback on its answers.

import { integer, number, oneOf, type OptionValues, string } from '../../base/schema.ts'
import type { RowForm } from '../../learn/export/export-rows.ts'
import { shadowFields } from '../registry/trials/shadow-options.ts'

/** Losses that learn from feedback, and the rows of each. */
export const feedbackLosses = {
  'cross-entropy': 'answers',
  kto: 'judged',
  dpo: 'pairs',
} as const satisfies Readonly<Record<string, RowForm>>

export const improveFields = {
  share: shadowFields.share,
  leastVoters: shadowFields.leastVoters,
  canaries: shadowFields.canaries,
  leastRows: integer({
    from: 4,
    default: 32,
    about: 'rated turns that no version has learned from yet, before a new one is trained',
  }),
  held: number({
    above: 0,
    below: 1,
    default: 0.2,
    about: 'share of the prompts that the new version is judged on and never learns',
  }),
  epochs: integer({ from: 1, default: 3, about: 'times that each row is seen' }),
  learningRate: number({ above: 0, about: "of the training (default: the kind's own)" }),
  loss: oneOf(Object.keys(feedbackLosses) as (keyof typeof feedbackLosses)[], {
    default: 'cross-entropy',
    about:
      'cross-entropy: right answers; kto: good and bad ones; dpo: pairs of a better and a worse one',
  }),
  redact: string({
    default: 'all',
    about: 'what is removed from rows: emails, keys, cards, phones; all; none',
  }),
  seed: integer({ default: 0, about: 'of the split, the training and the intervals' }),
}

export type ImproveSettings = OptionValues<typeof improveFields>

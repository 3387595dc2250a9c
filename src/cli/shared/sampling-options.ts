// The options of every command that writes text, and their form for model.generate.

import type { Options, Values } from '../command.ts'

export const samplingOptions = {
  system: { type: 'text', value: 'text', about: "system message (default: the expert's own)" },
  'max-tokens': { type: 'integer', least: 1, default: 256, about: 'new tokens at most' },
  temperature: {
    type: 'number',
    least: 0,
    default: 0,
    about: '0 always takes the most likely token',
  },
  'top-k': {
    type: 'integer',
    least: 0,
    default: 0,
    about: 'only the k most likely tokens; 0: all',
  },
  'top-p': {
    type: 'number',
    least: 0,
    default: 1,
    about: 'only the most likely tokens that together reach p',
  },
  'min-p': {
    type: 'number',
    least: 0,
    default: 0,
    about: 'only tokens at least this fraction as likely as the best',
  },
  'repetition-penalty': {
    type: 'number',
    least: 0,
    default: 1,
    about: 'above 1: tokens that stood before become less likely',
  },
  seed: { type: 'integer', default: 0, about: 'same seed, same text' },
  stop: { type: 'text', value: 'text', about: 'end where this text would begin' },
  exact: { type: 'flag', about: 'exact products instead of int8 activations: slower' },
} as const satisfies Options

/** As `model.generate` takes them. */
export function toGenerateOptions(values: Values<typeof samplingOptions>) {
  return {
    maxTokens: values['max-tokens'],
    temperature: values.temperature,
    topK: values['top-k'],
    topP: values['top-p'],
    minP: values['min-p'],
    repetitionPenalty: values['repetition-penalty'],
    seed: values.seed,
    exact: values.exact,
    ...(values.stop === undefined ? {} : { stop: [values.stop] }),
  }
}

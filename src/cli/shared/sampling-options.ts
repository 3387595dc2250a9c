// The options of every command that generates text, and their form for model.generate.

import { flag, integer, string } from '../../base/schema.ts'
import { samplingFields } from '../../runtime/decode/sampling-options.ts'
import { type Options, type Values, withAbout } from '../command.ts'

export const samplingOptions = {
  system: string({ about: "system message (default: the expert's own)" }),
  'max-tokens': integer({ from: 1, default: 256, about: 'new tokens at most' }),
  temperature: withAbout(samplingFields.temperature, '0 always takes the most likely token'),
  'top-k': withAbout(samplingFields.topK, 'only the k most likely tokens; 0: all'),
  'top-p': withAbout(samplingFields.topP, 'only the most likely tokens that together reach p'),
  'min-p': withAbout(
    samplingFields.minP,
    'only tokens at least this fraction as likely as the best',
  ),
  'repetition-penalty': withAbout(
    samplingFields.repetitionPenalty,
    'above 1: tokens that appeared before become less likely',
  ),
  'frequency-penalty': withAbout(
    samplingFields.frequencyPenalty,
    'above 0: tokens become less likely each time they appear in the answer',
  ),
  'presence-penalty': withAbout(
    samplingFields.presencePenalty,
    'above 0: tokens become less likely once they appear in the answer',
  ),
  seed: integer({ default: 0, about: 'same seed, same text' }),
  stop: string({ about: 'end before this text' }),
  speculate: flag({ about: 'check several likely tokens in one call (speculative decoding)' }),
  exact: flag({ about: 'exact products instead of int8 activations; slower' }),
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
    frequencyPenalty: values['frequency-penalty'],
    presencePenalty: values['presence-penalty'],
    seed: values.seed,
    exact: values.exact,
    speculate: values.speculate,
    ...(values.stop === undefined ? {} : { stop: [values.stop] }),
  }
}

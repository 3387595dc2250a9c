// The options of training a policy, with the defaults that the study `routing-policy` was run with.

import { flag, integer, number, oneOf, type OptionValues } from '../../base/schema.ts'
import { calibrationOptionFields } from '../training/training-set.ts'

const createShare = (about: string, usual: number) =>
  number({ from: 0, below: 1, default: usual, about })
const createSize = (about: string, usual: number) =>
  integer({ from: 1, to: 2 ** 20, default: usual, about })

export const policyFields = {
  buckets: createSize('Rows of the table of pieces of words; sets the size of the file.', 16384),
  width: createSize('Numbers of a word’s vector.', 64),
  hidden: createSize('Numbers of the state.', 128),
  inputRank: createSize('The rank of the matrix that reads words.', 48),
  stateRank: createSize('The rank of the matrix that reads the state.', 32),
  maxWords: integer({ from: 1, to: 1024, default: 64, about: 'Words that are read of a prompt.' }),
  reads: oneOf(['mean', 'last'] as const, {
    default: 'mean',
    about: 'What the heads read: the mean of all states, or the last one.',
  }),
  taught: flag({
    default: false,
    about:
      'Learns from the vectors of a model too (the base, or an encoder); it decides without one.',
  }),
  epochs: integer({
    from: 1,
    about:
      'Times that every prompt is met. Default: as many as make 3,000 steps (taught: 6,300), 10 to 60.',
  }),
  batchSize: integer({ from: 1, default: 64, about: 'Prompts of one step.' }),
  learningRate: number({ above: 0, default: 0.006, about: 'Of Adam, at its highest.' }),
  dropout: createShare('Share of numbers that are dropped from words and states.', 0.2),
  wordDropout: createShare('Share of words that are left out.', 0.1),
  labelSmoothing: createShare('Share of the label that is spread over all experts.', 0.1),
  adaptRate: number({ above: 0, default: 0.01, about: 'The learning rate of feedback.' }),
  adaptSteps: integer({ from: 0, to: 64, default: 4, about: 'Steps after each feedback.' }),
  ...calibrationOptionFields,
}

export type PolicyOptions = OptionValues<typeof policyFields>

// The settings of a run that are plain values, as a table: names, types, ranges, defaults and a
// sentence each.

import { quantizations } from '../../graph/frozen/frozen-form-table.ts'
import { losses } from '../objective/losses/loss-table.ts'
import { optimizers } from '../optimizers/optimizer-table.ts'
import type { OptionTable } from '../option-table.ts'
import { schedules } from '../schedules/schedule-table.ts'

/**
 * Beside it stand `batch` and `checkpointing`, which are no plain values, and the options of
 * losses, optimisers (weightDecay among them) and schedules.
 */
export const settingTable = {
  epochs: { type: 'integer', default: 1, least: 1, about: 'times that each row is seen' },
  steps: {
    type: 'integer',
    least: 1,
    about: 'steps in all, over as many epochs as they need; instead of epochs',
  },
  maxTokens: {
    type: 'integer',
    least: 2,
    about: "longer rows are cut; as many as a line has, or the model's context, unless given",
  },
  packing: {
    type: 'boolean',
    default: true,
    about: 'several rows on a line, which do not see each other',
  },
  accumulation: { type: 'integer', default: 1, least: 1, about: 'batches that make one step' },
  loss: {
    type: 'text',
    default: 'cross-entropy',
    choices: [...losses.keys()],
    about: 'what is made small',
  },
  optimizer: {
    type: 'text',
    default: 'adamw',
    choices: [...optimizers.keys()],
    about: 'what turns gradients into steps',
  },
  learningRate: {
    type: 'number',
    above: 0,
    about: 'of the highest step; by kind and optimiser unless given',
  },
  schedule: {
    type: 'text',
    default: 'cosine',
    choices: [...schedules.keys()],
    about: 'how the learning rate falls',
  },
  warmupShare: {
    type: 'number',
    least: 0,
    most: 1,
    about:
      'share of the steps over which the learning rate rises first; 0.05 unless given, 0.3 for one-cycle',
  },
  warmupSteps: {
    type: 'integer',
    least: 0,
    about: 'the same as a number of steps, which counts before the share',
  },
  loraPlusRatio: {
    type: 'number',
    default: 1,
    above: 0,
    about: "how much larger B's learning rate is than A's (LoRA+)",
  },
  clip: {
    type: 'number',
    default: 1,
    least: 0,
    about: 'largest norm of all gradients together; 0 does not clip',
  },
  patience: {
    type: 'integer',
    least: 1,
    about: 'so many validations in a row without a better loss end the run; never unless given',
  },
  minimumDelta: {
    type: 'number',
    default: 0,
    least: 0,
    about: 'how much lower a validation loss must be to count as better',
  },
  divergenceFactor: {
    type: 'number',
    default: 10,
    least: 0,
    about: 'a loss that stays above so many times its start ends the run with an error; 0: never',
  },
  quantization: {
    type: 'text',
    choices: quantizations,
    about: 'keeps the base in 4 bits (nf4) or 8 (int8) while training; in f32 unless given',
  },
  seed: { type: 'integer', default: 0, about: 'same seed and data, same numbers' },
} as const satisfies OptionTable

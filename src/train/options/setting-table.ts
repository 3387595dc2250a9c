// The settings of a training run as tables: names, types, ranges, defaults and a sentence each.
// Types, checks, defaults, the training manifest and the command line read these rows.

import { quantizations } from '../../graph/quantized-base/frozen-form-table.ts'
import { losses } from '../losses/loss-table.ts'
import { optimizers } from '../optimizers/optimizer-table.ts'
import {
  either,
  flag,
  integer,
  number,
  object,
  oneOf,
  record,
  string,
  withInfo,
} from '../../base/schema.ts'
import { schedules } from '../schedules/schedule-table.ts'

/** Settings that are plain values; a manifest and the command line have an entry for each. */
export const settingTable = {
  epochs: integer({ default: 1, from: 1, about: 'times that each row is seen' }),
  steps: integer({
    from: 1,
    about: 'total steps, over as many epochs as they need; instead of epochs',
  }),
  maxTokens: integer({
    from: 2,
    about: "longer rows are cut (default: as many as a line has, or the model's context)",
  }),
  packing: flag({
    default: true,
    about: 'packs several rows into one line; they do not see each other',
  }),
  accumulation: integer({ default: 1, from: 1, about: 'batches per step (gradient accumulation)' }),
  shards: integer({
    default: 1,
    from: 1,
    about: 'parts of a step, a power of two: any number of replicas up to it gives the same expert',
  }),
  loss: oneOf([...losses.keys()], { default: 'cross-entropy', about: 'the training loss' }),
  optimizer: oneOf([...optimizers.keys()], {
    default: 'adamw',
    about: 'the optimiser',
  }),
  learningRate: number({
    above: 0,
    about: 'the highest learning rate (default: by kind and optimiser)',
  }),
  schedule: oneOf([...schedules.keys()], {
    default: 'cosine',
    about: 'how the learning rate falls',
  }),
  warmupShare: number({
    from: 0,
    to: 1,
    about:
      'share of the steps over which the learning rate rises first (default: 0.05; one-cycle 0.3)',
  }),
  warmupSteps: integer({
    from: 0,
    about: 'the same as a number of steps, which counts before the share',
  }),
  loraPlusRatio: number({
    default: 1,
    above: 0,
    about: "how much larger B's learning rate is than A's (LoRA+)",
  }),
  clip: number({
    default: 1,
    from: 0,
    about: 'gradient clipping: largest norm of all gradients together; 0: none',
  }),
  patience: integer({
    from: 1,
    about:
      'end the run after this many validations in a row without a better loss (default: never)',
  }),
  minimumDelta: number({
    default: 0,
    from: 0,
    about: 'how much lower a validation loss must be to count as an improvement',
  }),
  divergenceFactor: number({
    default: 10,
    from: 0,
    about: 'a loss that stays above this many times its start ends the run with an error; 0: never',
  }),
  onDivergence: oneOf(['error', 'lora'], {
    default: 'error',
    about:
      'what happens if a run of kind dora diverges: it ends with an error, or it continues as LoRA from the last good checkpoint (lora)',
  }),
  quantization: oneOf(quantizations, {
    about: 'keeps the base in 4 bits (nf4) or 8 (int8) while training (default: f32)',
  }),
  seed: integer({ default: 0, about: 'same seed and data, same numbers' }),
}

/** A batch: N packed sequences of at most T tokens. */
export const batchTable = {
  rows: integer({ default: 4, from: 1, about: 'packed sequences of a batch' }),
  tokens: integer({
    default: 256,
    from: 2,
    about: 'tokens of a packed sequence; several rows share one',
  }),
}

const declareOwnOptions = (about: string) => withInfo(record, { default: {}, about })

/** All settings: plain values, and those that a manifest and the command line write differently. */
export const trainSettingTable = {
  ...settingTable,
  batch: object(batchTable, { about: 'packed sequences of a batch, and their tokens' }),
  lossOptions: declareOwnOptions(
    "the loss's own options: for DPO beta, for distillation temperature",
  ),
  optimizerOptions: declareOwnOptions(
    "the optimiser's own options: for AdamW beta1, beta2, epsilon",
  ),
  weightDecay: number({ default: 0, from: 0, about: "the optimiser's weight decay" }),
  scheduleOptions: declareOwnOptions(
    "the schedule's own options: for cosine-restarts cycles, minimum",
  ),
  checkpointing: either(flag(), integer({ from: 1 }), {
    default: false,
    about:
      'gradient checkpointing: recomputes layers in the backward pass, with less memory and more time; a number sets the segments',
  }),
  system: string({ about: 'system message for rows that have none' }),
}

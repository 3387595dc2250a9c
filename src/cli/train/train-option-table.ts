// The options of graft train as a table. Where an option sets a key of the training manifest, its
// field is that key's own, so ranges and defaults are written once: the table is made from a
// function that gives these fields. Does not load modules of training.

import { type Field, flag, integer, string, withInfo } from '../../base/schema.ts'
import { type Context, type OptionInfo, toGroup, toOption, type Options } from '../command.ts'
import { shareField } from '../../node/jobs/train-share.ts'
import { anyBaseOption, modelOptions } from '../shared/open-model.ts'

/** An option, and the key of a training manifest that it sets. */
export type TrainOption = Field & OptionInfo & { readonly manifestKey?: string }

/** The field of a manifest's key such as 'schedule.epochs'. */
export type FieldOf = (manifestKey: string) => Field

/**
 * An option that takes what the manifest's key takes, without a default: a value that was not typed
 * must not count before the manifest's.
 */
const createFromKey =
  (fieldOf: FieldOf) =>
  <Value>(
    manifestKey: string,
    { about, ...info }: OptionInfo & { readonly about?: string } = {},
  ) => {
    const found = fieldOf(manifestKey)
    const { default: _default, ...field } = found
    return toOption(withInfo(field as Field<Value>, { about: about ?? field.about ?? '' }), {
      ...info,
      manifestKey,
    })
  }
type FromKey = ReturnType<typeof createFromKey>

/** An option of another form than the manifest's key: a path, or a list with commas. */
const toKey = <Of extends Field>(manifestKey: string, field: Of, info: OptionInfo = {}) =>
  toOption(field, { ...info, manifestKey })

const defineNamedValues = (about: string) =>
  toOption(string({ about }), { valueName: 'name=value,…' })

const createAdapterOptions = (fromKey: FromKey) => ({
  kind: toKey(
    'kind.name',
    string({
      about:
        'kind of adapter, or several that act as one: ia3,prompt-tuning; graft adapters lists them (default: lora)',
    }),
    { valueName: 'name' },
  ),
  role: fromKey<string>('role', {
    about: 'a role: sets the rank, alpha, layers and synthetic examples that are not given',
  }),
  tier: fromKey<string>('tier', {
    about:
      'ultralight, medium or heavy, or a class of tasks such as sql: sets the kind, rank and layers that are not given',
  }),
  rank: fromKey<number>('kind.rank', {
    about: 'rank of the low-rank matrices (default: 16 for lora and dora)',
  }),
  alpha: fromKey<number>('kind.alpha', {
    about: 'scale of the low-rank matrices (default: twice the rank)',
  }),
  targets: toKey(
    'targets',
    string({ about: 'a preset, or names with commas: q_proj,v_proj (default: all-linear)' }),
    { valueName: 'names' },
  ),
  rslora: fromKey<boolean>('kind.rankStabilized', {
    about: 'scale by alpha/√rank instead of alpha/rank',
  }),
  from: toKey('from', string({ about: 'an expert to continue from, instead of a new one' }), {
    valueName: 'folder',
  }),
  'virtual-tokens': fromKey<number>('kind.virtualTokens', {
    about: 'tokens of a soft prompt, for prompt-tuning and prefix-tuning (default: 16)',
  }),
  'train-tokens': toKey(
    'kind.trainableTokens',
    string({
      about: 'ids of tokens whose embedding is trained too: 259,260 (lora, trainable-tokens)',
    }),
    { valueName: 'ids' },
  ),
  dropout: fromKey<number>('kind.dropout', {
    about: "share of the low-rank matrices' input that is dropped (default: 0)",
  }),
})

const createObjectiveOptions = (fromKey: FromKey) => ({
  loss: fromKey<string>('loss.name', {
    about: 'the training loss (default: cross-entropy; with a teacher distillation)',
  }),
  'loss-options': defineNamedValues('options of the loss: labelSmoothing=0.1, or share=0.5,top=64'),
  beta: fromKey<number>('loss.beta', {
    about: 'of losses over pairs: how close the expert stays to the reference',
  }),
  reference: toKey(
    'reference',
    string({ about: 'an expert that losses over pairs compare with, instead of the base' }),
    { valueName: 'folder' },
  ),
  teacher: toOption(
    string({ about: 'an expert to imitate; several, or one with a weight, as their mixture' }),
    { many: true, valueName: 'folder[=weight]' },
  ),
  'teacher-model': fromKey<string>('teacher.model', {
    valueName: 'model',
    about: 'another model of the same vocabulary to imitate, with or without --teacher on it',
  }),
  temperature: fromKey<number>('loss.temperature', {
    about: 'of distillation: above 1, unlikely tokens count more; of contrastive: divides cosines',
  }),
})

const createOptimizerOptions = (fromKey: FromKey) => ({
  optimizer: fromKey<string>('optimizer.name', {
    about: 'the optimiser (default: adamw)',
  }),
  'optimizer-options': defineNamedValues('options of the optimiser: momentum=0.8,nesterov=true'),
  'learning-rate': fromKey<number>('schedule.learningRate'),
  schedule: fromKey<string>('schedule.name', {
    about: 'how the learning rate falls (default: cosine)',
  }),
  'schedule-options': defineNamedValues('options of the schedule: cycles=4,minimum=0.1'),
  warmup: fromKey<number>('schedule.warmupShare', {
    about: 'share of the steps over which it rises first (default: 0.05; one-cycle 0.3)',
  }),
  'lora-plus': fromKey<number>('optimizer.loraPlusRatio', { valueName: 'ratio' }),
  clip: fromKey<number>('optimizer.clip'),
  'weight-decay': fromKey<number>('optimizer.weightDecay', {
    about: "the optimiser's weight decay (default: 0)",
  }),
})

const createLengthOptions = (fromKey: FromKey) => ({
  epochs: fromKey<number>('schedule.epochs'),
  steps: fromKey<number>('schedule.steps', { about: 'total steps, instead of epochs' }),
  'batch-rows': fromKey<number>('batch.rows'),
  'batch-tokens': fromKey<number>('batch.tokens', {
    about: 'tokens of a packed sequence; several rows share one (default: 256)',
  }),
  'max-tokens': fromKey<number>('batch.maxTokens', {
    about: 'longer rows are cut (default: --batch-tokens)',
  }),
  accumulation: fromKey<number>('batch.accumulation'),
  shards: fromKey<number>('batch.shards'),
})

const createValidationOptions = (fromKey: FromKey) => ({
  validation: toKey(
    'data.validation',
    string({
      about: 'rows to validate on: another file, or a share of the data such as 0.1',
    }),
    { valueName: 'file|share' },
  ),
  'validate-every': fromKey<number>('schedule.validateEverySteps', {
    valueName: 'steps',
    about: 'else at the end of each epoch',
  }),
  patience: fromKey<number>('schedule.patience', {
    valueName: 'validations',
    about: 'end the run after this many validations in a row without improvement',
  }),
  'min-delta': fromKey<number>('schedule.minimumDelta'),
  divergence: fromKey<number>('schedule.divergenceFactor'),
  'on-divergence': fromKey<'error' | 'lora'>('schedule.onDivergence'),
})

/** How the run is done, not what the expert is: these have no key in a training manifest. */
const runOptions = {
  plan: flag({ about: 'print how much memory and time the run will take, and stop' }),
  resume: flag({ about: 'resume from the checkpoint in --out' }),
  overwrite: flag({ about: 'replace the files of an earlier run in --out' }),
  replicas: toOption(
    integer({
      from: 1,
      about: 'processes that share the steps of one run, a power of two; the expert is the same',
    }),
    { valueName: 'count' },
  ),
  ...anyBaseOption,
  events: flag({
    about: 'a line of JSON for each event on stdout, for programs that watch the run',
  }),
  'base-sha256': toOption(
    string({
      filled: true,
      about: 'train only on the base with this hash: "identity" of graft inspect --json',
    }),
    { valueName: 'hash' },
  ),
  on: toOption(
    string({
      filled: true,
      about: 'train on a Ray cluster: ray://host:8265; its token: RAY_AUTH_TOKEN',
    }),
    { valueName: 'ray://host:port' },
  ),
  shared: toOption(
    string({
      filled: true,
      about: 'with --on: the folder of manifests, rows and results that every machine sees',
    }),
    { valueName: 'folder' },
  ),
  'train-share': withInfo(shareField, {
    about:
      'train while a server runs on this machine: background uses idle time, half uses half of the threads',
  }),
}

/** The expert's metadata; its name, tags and version are in a training manifest. */
const createDescriptionOptions = (fromKey: FromKey) => ({
  description: fromKey<string>('description'),
  author: fromKey<string>('author'),
  license: fromKey<string>('license'),
})

/** The table, with the fields that `fieldOf` gives. */
export function createTrainOptions(fieldOf: FieldOf) {
  const fromKey = createFromKey(fieldOf)
  return {
    ...modelOptions,
    model: toKey('base', modelOptions.model),
    data: toKey(
      'data.files',
      string({ about: 'rows in JSONL, JSON, CSV or Parquet: chats, prompt + completion, text, …' }),
      { valueName: 'file', short: 'd' },
    ),
    out: toKey(
      'out',
      string({ about: 'folder of the expert; a training manifest has a default' }),
      {
        valueName: 'folder',
        short: 'o',
      },
    ),
    ...toGroup('the adapter', createAdapterOptions(fromKey)),
    ...toGroup('the description', createDescriptionOptions(fromKey)),
    ...toGroup('length and batches', createLengthOptions(fromKey)),
    ...toGroup('the loss', createObjectiveOptions(fromKey)),
    ...toGroup('the optimiser', createOptimizerOptions(fromKey)),
    seed: fromKey<number>('seed', { about: 'same seed and data, same expert (default: 0)' }),
    ...toGroup('validation', createValidationOptions(fromKey)),
    'save-every': fromKey<number>('schedule.saveEverySteps', { valueName: 'steps' }),
    system: fromKey<string>('data.system'),
    'data-license': fromKey<string>('data.license', { valueName: 'licence' }),
    ewc: fromKey<number>('ewc.lambda', {
      valueName: 'lambda',
      about: 'strength that protects earlier tasks (0.03 is usual); LoRA only',
    }),
    'ewc-decay': fromKey<number>('ewc.decay'),
    quantize: fromKey<string>('quantization', {
      about: 'keep the base in 4 or 8 bits while training (QLoRA): less memory',
    }),
    checkpointing: toKey(
      'checkpointing',
      flag({
        about: 'gradient checkpointing: computes layers twice, with less memory and more time',
      }),
    ),
    ...toGroup('the run', runOptions),
  } satisfies Options
}

export type TrainOptionTable = ReturnType<typeof createTrainOptions>
export type TrainValues = Context<TrainOptionTable>['values']

// The options of graft train, and the key of a manifest that each of them sets. A new option is a
// row in each of the two tables.

import type { ManifestOverride } from '../../node/manifests/manifest-file.ts'
import { type Context, type Options, UsageError } from '../command.ts'
import { parseNamedValues } from '../shared/named-values.ts'
import { parseExperts } from '../shared/open-experts.ts'
import { modelOptions } from '../shared/open-model.ts'

// Spelled out, so that the tables are loaded by training alone; a test holds them against the
// tables.
export const optimizerNames = ['adamw', 'sgd', 'lion', 'adafactor'] as const
export const lossNames = ['cross-entropy', 'distillation', 'dpo', 'ipo', 'simpo'] as const
export const scheduleNames = [
  'constant',
  'linear',
  'cosine',
  'cosine-restarts',
  'exponential',
  'step',
  'polynomial',
  'one-cycle',
] as const

export const trainOptions = {
  ...modelOptions,
  data: {
    type: 'text',
    value: 'file.jsonl',
    short: 'd',
    about: 'rows: messages, prompt + completion, instruction + output, or text',
  },
  out: {
    type: 'text',
    value: 'folder',
    short: 'o',
    about: 'where the expert goes; a manifest has a default',
  },
  kind: { type: 'text', about: 'kind of adapter: lora unless given; graft adapters lists them' },
  rank: {
    type: 'integer',
    least: 1,
    about: 'rank of the detours; 16 for lora and dora unless given',
  },
  alpha: { type: 'number', about: 'their scale; twice the rank unless given' },
  targets: {
    type: 'text',
    value: 'names',
    about: 'a preset, or names with commas: q_proj,v_proj; all-linear unless given',
  },
  rslora: { type: 'flag', about: 'scale by alpha/√rank instead of alpha/rank' },
  from: {
    type: 'text',
    value: 'folder',
    about: 'an expert to go on from, in place of a fresh one',
  },
  'virtual-tokens': {
    type: 'integer',
    least: 1,
    about: 'length of a soft prompt (prompt-tuning, prefix-tuning); 16 unless given',
  },
  dropout: {
    type: 'number',
    least: 0,
    about: "share of a detour's input that is dropped; 0 unless given",
  },
  'learning-rate': {
    type: 'number',
    least: 0,
    about: 'of the highest step; by kind and optimiser unless given',
  },
  epochs: { type: 'integer', least: 1, about: 'times that each row is seen; 1 unless given' },
  steps: { type: 'integer', least: 1, about: 'steps in all, instead of epochs' },
  'batch-rows': { type: 'integer', least: 1, about: 'lines of a batch; 4 unless given' },
  'batch-tokens': {
    type: 'integer',
    least: 2,
    about: 'tokens of a line; several rows share one; 256 unless given',
  },
  'max-tokens': {
    type: 'integer',
    least: 2,
    about: 'longer rows are cut; --batch-tokens unless given',
  },
  accumulation: { type: 'integer', least: 1, about: 'batches that make one step; 1 unless given' },
  loss: {
    type: 'text',
    choices: lossNames,
    about: 'what is made small; cross-entropy unless given, distillation with a teacher',
  },
  'loss-options': {
    type: 'text',
    value: 'name=value,…',
    about: 'its own options: labelSmoothing=0.1, or share=0.5,top=64',
  },
  beta: {
    type: 'number',
    least: 0,
    about: 'of losses over pairs: how close the expert stays to the reference',
  },
  reference: {
    type: 'text',
    value: 'folder',
    about: 'an expert that losses over pairs compare with, in place of the bare base',
  },
  teacher: {
    type: 'text',
    many: true,
    value: 'folder[=weight]',
    about: 'an expert to imitate; several, or one with a weight, as their mixture',
  },
  'teacher-model': {
    type: 'text',
    value: 'model',
    about: 'another model of the same vocabulary to imitate, with or without --teacher on it',
  },
  temperature: {
    type: 'number',
    least: 0,
    about: 'of distillation: what is unlikely counts more above 1',
  },
  optimizer: {
    type: 'text',
    choices: optimizerNames,
    about: 'what turns gradients into steps; adamw unless given',
  },
  'optimizer-options': {
    type: 'text',
    value: 'name=value,…',
    about: 'its own options: momentum=0.8,nesterov=true',
  },
  schedule: {
    type: 'text',
    choices: scheduleNames,
    about: 'how the learning rate falls; cosine unless given',
  },
  'schedule-options': {
    type: 'text',
    value: 'name=value,…',
    about: 'its own options: cycles=4,minimum=0.1',
  },
  warmup: {
    type: 'number',
    least: 0,
    about: 'share of the steps over which it rises first; 0.05 unless given, 0.3 for one-cycle',
  },
  clip: {
    type: 'number',
    least: 0,
    about: 'largest norm of the gradient; 0: no limit; 1 unless given',
  },
  'weight-decay': {
    type: 'number',
    least: 0,
    about: "the optimiser's weight decay; 0 unless given",
  },
  seed: { type: 'integer', about: 'same seed and data, same expert; 0 unless given' },
  validation: {
    type: 'text',
    value: 'file|share',
    about: 'rows to validate on: another file, or a share of the data such as 0.1',
  },
  'validate-every': {
    type: 'integer',
    least: 1,
    value: 'steps',
    about: 'else at the end of each epoch',
  },
  patience: {
    type: 'integer',
    least: 1,
    value: 'validations',
    about: 'end the run when so many in a row are not better',
  },
  'min-delta': {
    type: 'number',
    least: 0,
    about: 'how much lower a validation loss must be to count as better; 0 unless given',
  },
  divergence: {
    type: 'number',
    least: 0,
    about:
      'a loss that stays above so many times its start ends the run; 10 unless given, 0: never',
  },
  'save-every': {
    type: 'integer',
    least: 1,
    value: 'steps',
    about: 'checkpoints to go on from; 25 unless given',
  },
  system: {
    type: 'text',
    value: 'text',
    about: 'system message for rows that have none; the expert remembers it',
  },
  ewc: {
    type: 'number',
    least: 0,
    value: 'lambda',
    about: 'protect what earlier tasks need, so hard (0.03 is usual); LoRA only',
  },
  'ewc-decay': {
    type: 'number',
    least: 0,
    about: 'how much earlier tasks count beside the newest; 1 unless given',
  },
  quantize: {
    type: 'text',
    choices: ['nf4', 'int8'],
    about: 'keep the base in 4 or 8 bits while training (QLoRA): less memory',
  },
  checkpointing: {
    type: 'flag',
    about: 'compute layers twice instead of keeping them: less memory, more time',
  },
  plan: { type: 'flag', about: 'say how much memory and time the run will take, and end there' },
  resume: { type: 'flag', about: 'go on from the checkpoint in --out' },
  overwrite: { type: 'flag', about: 'replace what an earlier run left in --out' },
} as const satisfies Options

export type TrainValues = Context<typeof trainOptions>['values']

/** How the run is done, not what the expert is: these stand in no manifest. */
type OfTheRun = 'threads' | 'weights' | 'plan' | 'resume' | 'overwrite'

/**
 * Lists of names and values, which become keys beside the name of the schedule, the optimiser or
 * the loss, and teachers.
 */
type Lists = 'optimizer-options' | 'schedule-options' | 'loss-options' | 'teacher'

const manifestKeys: Readonly<Record<Exclude<keyof TrainValues, OfTheRun | Lists>, string>> = {
  model: 'base',
  data: 'data.files',
  out: 'out',
  kind: 'kind.name',
  rank: 'kind.rank',
  alpha: 'kind.alpha',
  targets: 'targets',
  from: 'from',
  ewc: 'ewc.lambda',
  'ewc-decay': 'ewc.decay',
  rslora: 'kind.rankStabilized',
  'virtual-tokens': 'kind.virtualTokens',
  dropout: 'kind.dropout',
  'learning-rate': 'schedule.learningRate',
  epochs: 'schedule.epochs',
  steps: 'schedule.steps',
  'batch-rows': 'batch.rows',
  'batch-tokens': 'batch.tokens',
  'max-tokens': 'batch.maxTokens',
  accumulation: 'batch.accumulation',
  loss: 'loss.name',
  beta: 'loss.beta',
  temperature: 'loss.temperature',
  reference: 'reference',
  'teacher-model': 'teacher.model',
  optimizer: 'optimizer.name',
  schedule: 'schedule.name',
  warmup: 'schedule.warmupShare',
  clip: 'optimizer.clip',
  'weight-decay': 'optimizer.weightDecay',
  seed: 'seed',
  validation: 'data.validation',
  'validate-every': 'schedule.validateEverySteps',
  patience: 'schedule.patience',
  'min-delta': 'schedule.minimumDelta',
  divergence: 'schedule.divergenceFactor',
  'save-every': 'schedule.saveEverySteps',
  system: 'data.system',
  quantize: 'quantization',
  checkpointing: 'checkpointing',
}

/**
 * Paths are relative to where the command was typed, not to a manifest: `at` makes them absolute.
 */
export interface OverrideContext {
  readonly presets: readonly string[]
  at(path: string): string
}

/** What the command line says, as keys of a manifest that count before the file's. */
export function toOverrides(
  values: TrainValues,
  { presets, at }: OverrideContext,
): ManifestOverride[] {
  const parsed: Partial<Record<keyof TrainValues, unknown>> = {
    ...values,
    data: values.data === undefined ? undefined : at(values.data),
    out: values.out === undefined ? undefined : at(values.out),
    targets: values.targets === undefined ? undefined : parseTargets(values.targets, presets),
    validation: parseValidation(values.validation, at),
    loss: values.loss ?? (values.teacher || values['teacher-model'] ? 'distillation' : undefined),
    reference: values.reference === undefined ? undefined : at(values.reference),
    from: values.from === undefined ? undefined : at(values.from),
  }
  const plain = Object.entries(manifestKeys).flatMap(([name, key]) => {
    const value = parsed[name as keyof TrainValues]
    return value === undefined || value === false ? [] : [{ key, value }]
  })
  const lists = (['optimizer', 'schedule', 'loss'] as const).flatMap((section) =>
    Object.entries(parseNamedValues(`--${section}-options`, values[`${section}-options`])).map(
      ([name, value]) => ({
        key: `${section}.${name}`,
        value,
      }),
    ),
  )
  const given = [...plain, ...lists, ...toTeacherOverrides(values.teacher, at)]
  // Steps count before epochs, so epochs that were typed take steps that were written away.
  return values.epochs !== undefined && values.steps === undefined
    ? [...given, { key: 'schedule.steps', value: undefined }]
    : given
}

/** One expert of weight 1 is itself, anything else a mixture; either takes the other's place. */
function toTeacherOverrides(
  texts: readonly string[] | undefined,
  at: OverrideContext['at'],
): ManifestOverride[] {
  const named = parseExperts(texts ?? [])
  const [first] = named
  if (!first) return []
  const isOne = named.length === 1 && first.weight === 1
  const mixture = Object.fromEntries(named.map(({ folder, weight }) => [at(folder), weight]))
  return [
    { key: 'teacher.adapter', value: isOne ? at(first.folder) : undefined },
    { key: 'teacher.mixture', value: isOne ? undefined : mixture },
  ]
}

/**
 * A preset stays a word; names become a list; anything else is a regular expression over module
 * paths.
 */
export function parseTargets(text: string, presetNames: readonly string[]): string | string[] {
  if (presetNames.includes(text)) return text
  return /^[\w.]+(\s*,\s*[\w.]+)*$/.test(text.trim())
    ? text.split(',').map((name) => name.trim())
    : text
}

/** A number is a share of the data, anything else a file. */
function parseValidation(
  text: string | undefined,
  at: (path: string) => string,
): string | number | undefined {
  if (text === undefined) return undefined
  if (text.trim() === '' || !Number.isFinite(Number(text))) return at(text)
  const share = Number(text)
  if (share > 0 && share < 1) return share
  throw new UsageError(`--validation is ${text}; a share lies between 0 and 1, such as 0.1.`)
}

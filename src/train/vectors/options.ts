// The options of training over vectors: the settings of `train` that apply without text, rows of a
// batch, the trained adapter and its data.

import type { Adapter } from '../../adapters/adapter.ts'
import { createOpaqueField, describeType } from '../../base/opaque-field.ts'
import {
  type Field,
  integer,
  isRecord,
  number,
  object,
  oneOf,
  type OptionValues,
  record,
  type ValueOf,
  withInfo,
} from '../../base/schema.ts'
import type { Backend } from '../../compute/backend.ts'
import type { EmbeddingDataset } from '../datasets/adapter-dataset.ts'
import { ewcStateField } from '../ewc/options.ts'
import type { EwcState } from '../ewc/state.ts'
import {
  type CheckpointOptions,
  createAdapterField,
  createValidationField,
  type FreshAdapter,
  trainOptionTable,
} from '../options/options.ts'
import type { ValidationInput } from '../options/train-data.ts'
import { settingTable } from '../options/setting-table.ts'
import { type StandalonePreset, standalonePresets } from './presets.ts'

export const standaloneSettingTable = {
  epochs: settingTable.epochs,
  steps: settingTable.steps,
  optimizer: settingTable.optimizer,
  schedule: settingTable.schedule,
  warmupSteps: settingTable.warmupSteps,
  loraPlusRatio: settingTable.loraPlusRatio,
  clip: settingTable.clip,
  patience: settingTable.patience,
  minimumDelta: settingTable.minimumDelta,
  divergenceFactor: settingTable.divergenceFactor,
  seed: settingTable.seed,
  warmupShare: withInfo(settingTable.warmupShare, {
    default: 0,
    about: 'share of the steps over which the learning rate rises first',
  }),
  learningRate: withInfo(settingTable.learningRate, {
    default: 0.005,
    about: 'of the highest step',
  }),
  rows: integer({
    default: 32,
    from: 1,
    about: 'examples of a step: fewer cost more updates, more cost more computation',
  }),
  optimizerOptions: withInfo(record, {
    default: {},
    about: "the optimiser's own options: for AdamW beta1, beta2, epsilon, weightDecay",
  }),
  scheduleOptions: withInfo(record, { default: {}, about: "the schedule's own options" }),
}

export type StandaloneSettings = OptionValues<typeof standaloneSettingTable>

type SettingOptions = {
  readonly [Name in keyof typeof standaloneSettingTable]?:
    ValueOf<(typeof standaloneSettingTable)[Name]> | undefined
}

export interface StandaloneOptions extends SettingOptions {
  /** An adapter to train on, or the kind and options of a fresh one. */
  readonly adapter: Adapter | FreshAdapter
  readonly data: EmbeddingDataset
  /**
   * Held-out data on which the loss is measured: a data set, a share of `data` (0.2), or true for a
   * fifth of it, drawn by `seed`. With `everySteps`, it is measured every so many steps instead of
   * after each epoch.
   */
  readonly validation?: true | ValidationInput<EmbeddingDataset> | undefined
  /**
   * Where the run saves its state and resumes from; a resumed run ends with the weights of an
   * uninterrupted one.
   */
  readonly checkpoint?: CheckpointOptions | undefined
  /** Settings by name; other options override them. */
  readonly preset?: StandalonePreset | undefined
  /**
   * Protects earlier tasks (LoRA only): the result of consolidateStandalone, and the penalty's
   * strength `lambda`, by default 10/D.
   */
  readonly ewc?: { readonly state: EwcState; readonly lambda?: number | undefined } | undefined
  /** Runs kinds other than LoRA; the default is the reference interpreter. */
  readonly backend?: Backend | undefined
  /** Ends the run between two steps. */
  readonly signal?: AbortSignal
  /** Milliseconds, for speed and time left. */
  readonly now?: () => number
}

const vectorsExpected = 'a data set of vectors, as createEmbeddingDataset makes it'

/** A field for data sets of vectors; for one of texts, the error says what to do. */
export function createVectorDataField(): Field<EmbeddingDataset> {
  const isVectors = (value: unknown): boolean => isRecord(value) && value['level'] === 'embedding'
  const field = createOpaqueField<EmbeddingDataset>(vectorsExpected, isVectors)
  const findProblems = (value: unknown, name: string): string[] => {
    if (isVectors(value)) return []
    const isText = isRecord(value) && (value['level'] === 'text' || 'rows' in value)
    const got = isText ? 'texts' : describeType(value)
    const advice = isText ? '; train a language model on texts with train({ data })' : ''
    return [`${name}: got ${got}, expected ${vectorsExpected}${advice}`]
  }
  return { ...field, findProblems }
}

const vectorData = createVectorDataField()

function createVectorValidationField(): Field<true | ValidationInput<EmbeddingDataset>> {
  const field = createValidationField<true | ValidationInput<EmbeddingDataset>>(vectorData)
  const findProblems: Field['findProblems'] = (value, name) =>
    value === true ? [] : field.findProblems(value, name)
  return { ...field, findProblems }
}

/** Every option of `trainStandalone`, by name. */
export const standaloneOptionTable = {
  ...standaloneSettingTable,
  adapter: createAdapterField<Adapter | FreshAdapter>(),
  data: vectorData,
  validation: createVectorValidationField(),
  checkpoint: trainOptionTable.checkpoint,
  preset: oneOf(Object.keys(standalonePresets) as StandalonePreset[]),
  ewc: object({ state: ewcStateField, lambda: number({ from: 0 }) }),
  backend: createOpaqueField<Backend>(
    'a backend',
    (value) => isRecord(value) && typeof value['compile'] === 'function',
  ),
  signal: trainOptionTable.signal,
  now: trainOptionTable.now,
} satisfies Readonly<Record<keyof StandaloneOptions, Field>>

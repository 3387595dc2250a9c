// The body of POST /v1/fine_tuning/jobs, and its translation to a request.

import {
  createField,
  type Field,
  type GivenOptions,
  integer,
  isRecord,
  number,
  object,
  oneOf,
  string,
} from '../../../base/schema.ts'
import { RequestError } from '../../request-error.ts'
import type { BodyForm } from '../../route.ts'
import type { TuningMethod, TuningRequest, TuningSettings } from './job-service.ts'

/** OpenAI's "auto", or a value. */
const allowAuto = (field: Field<number>): Field<number | 'auto'> =>
  createField<number | 'auto'>(
    `"auto" or ${field.expected}`,
    { anyOf: [{ const: 'auto' }, field.schema] },
    (value) => value === 'auto' || field.is(value),
  )

const settingFields = {
  n_epochs: allowAuto(integer({ from: 1, to: 50 })),
  batch_size: allowAuto(integer({ from: 1, to: 256 })),
  learning_rate_multiplier: allowAuto(number({ above: 0, to: 1000 })),
}
const supervisedFields = { hyperparameters: object(settingFields) }
const dpoFields = {
  hyperparameters: object({ ...settingFields, beta: allowAuto(number({ above: 0, to: 10 })) }),
}
const methodFields = {
  type: oneOf(['supervised', 'dpo']),
  supervised: object(supervisedFields),
  dpo: object(dpoFields),
}

const mostPairs = 16
const metadataField = createField<Readonly<Record<string, string>>>(
  `an object of at most ${mostPairs} texts`,
  { type: 'object', additionalProperties: { type: 'string' } },
  (value) =>
    isRecord(value) &&
    Object.keys(value).length <= mostPairs &&
    Object.entries(value).every(
      ([key, text]) => key.length <= 64 && typeof text === 'string' && text.length <= 512,
    ),
  { about: 'given back with the job' },
)

const suffixPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const suffixField = createField<string>(
  'a name of 1 to 64 letters, digits, ".", "_" and "-"',
  { type: 'string', pattern: suffixPattern.source },
  (value) => typeof value === 'string' && suffixPattern.test(value),
  { about: 'the name under which the result serves; the same name again: a new version' },
)

export const jobFields = {
  model: string({ filled: true, about: 'the base, or an expert to train on' }),
  training_file: string({ filled: true, about: 'a file with the purpose "fine-tune"' }),
  validation_file: string({
    filled: true,
    about: 'rows that decide whether the result serves; default: a tenth of the training rows',
  }),
  suffix: suffixField,
  seed: integer({ from: 0, to: 2 ** 31 - 1, about: 'the same seed and rows give the same result' }),
  method: object(methodFields, { about: 'supervised, or dpo, with their hyperparameters' }),
  hyperparameters: object(settingFields, { about: 'the older place of those of supervised' }),
  metadata: metadataField,
  adapter: object(
    {
      kind: string({ filled: true }),
      rank: integer({ from: 1, to: 1024 }),
      targets: string({ filled: true }),
    },
    { about: "Graft's own: kind, rank and targets of the adapter; default: a LoRA on all layers" },
  ),
}

export type JobBody = GivenOptions<typeof jobFields>

export const jobForm: BodyForm<typeof jobFields> = {
  fields: jobFields,
  required: ['model', 'training_file'],
  refused: { integrations: { reason: 'nothing is sent elsewhere', neutral: [[]] } },
}

/** Checks of a body that need no files. Throws RequestError if fields contradict each other. */
export function readTuning(body: JobBody): Omit<TuningRequest, 'training' | 'validation'> {
  const { model, suffix, seed, adapter = {}, metadata = {} } = body
  const method = body.method?.type ?? 'supervised'
  return {
    model: model!,
    suffix,
    seed,
    method,
    adapter,
    metadata,
    settings: readSettings(body, method),
  }
}

interface GivenSettings {
  readonly n_epochs?: number | 'auto'
  readonly batch_size?: number | 'auto'
  readonly learning_rate_multiplier?: number | 'auto'
  readonly beta?: number | 'auto'
}

function readSettings(body: JobBody, method: TuningMethod): TuningSettings {
  const { hyperparameters: older, method: given } = body
  const other = method === 'dpo' ? 'supervised' : 'dpo'
  if (given?.[other] !== undefined)
    throw refuse(`method.${other}`, `method.${other}: the type is "${method}"`)
  const own: GivenSettings | undefined = given?.[method]?.hyperparameters
  if (older !== undefined && own !== undefined)
    throw refuse(
      'hyperparameters',
      `hyperparameters and method.${method}.hyperparameters mean the same: give the second`,
    )
  const chosen: GivenSettings = own ?? older ?? {}
  return {
    epochs: chosen.n_epochs ?? 'auto',
    batchRows: chosen.batch_size ?? 'auto',
    rateMultiplier: chosen.learning_rate_multiplier ?? 'auto',
    beta: chosen.beta ?? 'auto',
  }
}

const refuse = (param: string, problem: string): RequestError =>
  new RequestError(`${problem}.`, { param, code: 'invalid_value' })

// Reads adapter_config.json strictly: a key that would change the result is either supported or
// refused, never ignored.

import { UnsupportedError } from '../../base/errors.ts'
import {
  isRecord,
  readFields,
  describeValue,
  type Fields,
  type GivenOptions,
} from '../../base/schema.ts'
import type { PeftJson } from './kind.ts'

/** Keys of every kind that describe an adapter and change nothing in what it computes. */
const descriptive = new Set([
  'peft_type',
  'peft_version',
  'base_model_name_or_path',
  'revision',
  'inference_mode',
  'auto_mapping',
])

/** Defaults of PEFT 0.21 that are not empty, of features that are off. */
const harmless: PeftJson = {
  megatron_core: 'megatron.core',
  qalora_group_size: 16,
  task_type: 'CAUSAL_LM',
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === '') return true
  if (Array.isArray(value)) return value.length === 0
  return isRecord(value) && Object.values(value).every(isEmpty)
}

/**
 * The values of a kind's keys. Throws one UnsupportedError that names every wrong value, and every
 * unknown key whose value is neither empty nor a default without effect.
 */
export function readPeftConfig<Of extends Fields>(
  json: PeftJson,
  fields: Of,
  required: readonly (keyof Of & string)[],
  fileName: string,
): GivenOptions<Of> {
  const { values, problems } = readFields(json, fields)
  for (const key of required) if (values[key] === undefined) problems.push(`${key}: is missing`)
  for (const [key, value] of Object.entries(json)) {
    if (
      Object.hasOwn(fields, key) ||
      descriptive.has(key) ||
      isEmpty(value) ||
      harmless[key] === value
    )
      continue
    problems.push(`${key}: ${describeValue(value)}`)
  }
  if (problems.length > 0)
    throw new UnsupportedError(
      `${fileName}: contains settings that are not supported:\n  ${problems.join('\n  ')}`,
    )
  return values
}

// One rule for the keys of a row in every format: a key is used, refused by name, or left out and
// counted. "weight" or "quality" is the weight of a row.

import type { DataFormat, DataRecord } from './data-format.ts'
import type { RowLog } from './row-log.ts'

const media = 'contains pictures or sound, and only text is learned'
const tokens = 'contains tokens of another tokenizer; give the text'
const marks = 'marks parts of a turn, which is not supported; give "weight" 0 or 1 for a turn'

/**
 * Keys that would change what is learned from a row, with the reason why a row with one is refused.
 */
export const refusedKeys: ReadonlyMap<string, string> = new Map([
  ...['image', 'images', 'audio', 'audios', 'video', 'videos'].map((key) => [key, media] as const),
  ...['input_ids', 'token_ids', 'attention_mask', 'labels'].map((key) => [key, tokens] as const),
  ...['train_detail', 'training_detail'].map((key) => [key, marks] as const),
  ['system', 'is a system message, which this format has no place for'],
  ['tools', 'offers tools, which rows of this format cannot; give "messages"'],
  ['functions', 'offers functions, which rows of this format cannot; give "messages"'],
  ['history', 'contains earlier turns, which rows of this format cannot; give "messages"'],
  ['documents', 'contains documents for the template, which are not supported'],
  ['chat_template', 'contains a chat template; the template of the model is used'],
  [
    'chat_template_kwargs',
    'contains variables of the chat template, which are not supported per row',
  ],
  ['kto_tag', 'judges the answer; give { "prompt": "…", "completion": "…", "label": true }'],
])

const isNothing = (value: unknown): boolean =>
  value === undefined || value === null || (Array.isArray(value) && value.length === 0)

/** Why a key that a format does not use is refused; undefined if it is left out and counted. */
function findRefusal(key: string, value: unknown, { describing }: DataFormat): string | undefined {
  const reason = refusedKeys.get(key)
  if (reason !== undefined) return `"${key}" ${reason}`
  if (key === 'label' && typeof value === 'boolean') return `"label" ${refusedKeys.get('kto_tag')}`
  if (describing === undefined || describing.has(key)) return undefined
  return `"${key}" could be an answer, but only "text" would be learned. Remove it, or give prompt and completion`
}

/** Records every key of the row that its format does not use. Keys without a value are ignored. */
export function checkRowKeys(row: DataRecord, format: DataFormat, log: RowLog): void {
  for (const [key, value] of Object.entries(row)) {
    if (format.keys.has(key) || isWeightKey(key) || isNothing(value)) continue
    const refusal = findRefusal(key, value, format)
    if (refusal === undefined) log.leftOut.add(key)
    else log.problems.push(refusal)
  }
}

const weightNames = ['weight', 'quality'] as const

const isWeightKey = (key: string): boolean => (weightNames as readonly string[]).includes(key)

/** The row's weight, 1 where it names none, or what is wrong with it. */
export function readWeight(row: DataRecord): number | string {
  const given = weightNames.filter((name) => row[name] !== undefined && row[name] !== null)
  for (const name of given) {
    const value = row[name]
    if (typeof value !== 'number' || !(value >= 0 && value <= 1))
      return `"${name}" must be a number from 0 to 1, got ${JSON.stringify(value).slice(0, 40)}`
  }
  const values = new Set(given.map((name) => row[name] as number))
  if (values.size > 1)
    return '"weight" and "quality" are two names of one thing and differ here; give one of them'
  return [...values][0] ?? 1
}

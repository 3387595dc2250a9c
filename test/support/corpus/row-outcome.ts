// What becomes of an odd row: used, left out and counted, refused by name; or one of the faults:
// silent, unclear, crash. The chat template of this judgement prints everything that it is given, so
// that what is not in the text was not used.

import { GraftError } from '../../../src/base/errors.ts'
import type { Tokenizer } from '../../../src/formats/text/tokenizer.ts'
import { encodeData, type EncodedData } from '../../../src/train/data/encode.ts'
import { parseJsonl } from '../../../src/train/data/jsonl.ts'
import type { OddRow } from './odd-rows.ts'

export const outcomes = ['used', 'left out and counted', 'refused by name'] as const
export const faults = ['silent', 'unclear error', 'crash'] as const
export type Outcome = (typeof outcomes)[number] | (typeof faults)[number]

export interface Judgement {
  readonly outcome: Outcome
  /** The error, or what was understood. */
  readonly details: string
}

const template =
  '{# tool_calls tool_call_id reasoning_content #}' +
  '{% if tools %}{{ tools | tojson }}\n{% endif %}' +
  '{% for message in messages %}<|im_start|>{{ message.role }}\n' +
  '{% if message.role == "assistant" %}{{ message.content }} {% endif %}' +
  '{{ message | tojson }}<|im_end|>\n{% endfor %}' +
  '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'

const maxTokens = 4000

interface Reading {
  readonly text: string
  readonly counted: string
  readonly encoded: EncodedData
}

function readLines(lines: readonly string[], tokenizer: Tokenizer): Reading {
  const data = parseJsonl(lines.join('\n'), 'odd.jsonl')
  const chatTemplate = template
  const encoded = encodeData(data, { tokenizer, chatTemplate, maxTokens })
  const first = encodeData(parseJsonl(lines[0]!, 'odd.jsonl'), {
    tokenizer,
    chatTemplate,
    maxTokens,
  })
  const rows = encoded.rows.slice(first.rows.length)
  const text = rows
    .map(({ ids, weights, isGood }) => {
      const labels = [...weights].map((weight) => weight.toFixed(2))
      return `${tokenizer.decode([...ids])} ${labels.join(' ')} ${isGood ?? ''}`
    })
    .join('\n')
  const { summary, cut, dropped } = encoded
  return { text, counted: JSON.stringify([summary, cut, dropped]), encoded }
}

/** Reads lines, or gives the error's text where that is the outcome. */
function tryLines(lines: readonly string[], tokenizer: Tokenizer): Reading | string {
  try {
    return readLines(lines, tokenizer)
  } catch (error) {
    if (GraftError.isInstance(error)) return error.message
    throw error
  }
}

/** A refusal must name the row, and say something of it. */
const isNamed = (message: string): boolean => /\brow 2\b.{8}/s.test(message)

/** Whether a row that was read leaves traces of all that was changed. */
function isHeard(odd: OddRow, control: string, read: Reading, tokenizer: Tokenizer): boolean {
  if (odd.isHarmless) return true
  const sound = tryLines([control, JSON.stringify(odd.sound)], tokenizer)
  const without = odd.without && tryLines([control, JSON.stringify(odd.without)], tokenizer)
  const differs = (other: Reading | string | undefined): boolean =>
    typeof other !== 'object' || other.text !== read.text || other.counted !== read.counted
  if (odd.mustShow !== undefined && read.text.includes(odd.mustShow)) return true
  if (odd.mustShow !== undefined) return typeof sound !== 'object' || sound.counted !== read.counted
  return differs(sound) && differs(without)
}

function hasCounts({ summary, cut, dropped }: EncodedData): boolean {
  const { leftOut = {}, readOnlyTurns = 0, brokenText = 0 } = summary ?? {}
  return Object.keys(leftOut).length + readOnlyTurns + brokenText + cut + dropped > 0
}

/** Judges an odd row that stands behind a sound one of its format. */
export function judgeRow(odd: OddRow, tokenizer: Tokenizer): Judgement {
  const control = JSON.stringify(odd.sound)
  try {
    const read = tryLines([control, odd.line], tokenizer)
    if (typeof read === 'string')
      return { outcome: isNamed(read) ? 'refused by name' : 'unclear error', details: read }
    const details = `${read.text} ${read.counted}`
    if (!isHeard(odd, control, read, tokenizer)) return { outcome: 'silent', details }
    return { outcome: hasCounts(read.encoded) ? 'left out and counted' : 'used', details }
  } catch (error) {
    return { outcome: 'crash', details: String((error as Error).stack ?? error) }
  }
}

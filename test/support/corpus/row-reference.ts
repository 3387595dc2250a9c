// What Graft makes of an odd row in the form in which the reference's result is written: token ids
// and weights of labels, or the refusal.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { GraftError } from '../../../src/base/errors.ts'
import type { Tokenizer } from '../../../src/formats/text/tokenizer.ts'
import { encodeData } from '../../../src/train/data/encode.ts'
import { readExamples } from '../../../src/train/data/format-table.ts'
import { parseJsonl } from '../../../src/train/data/jsonl.ts'
import type { CorpusReading, Reason } from './compare.ts'
import type { OddRow } from './odd-rows.ts'

const template = readFileSync(
  new URL('../../parity/corpus/template.jinja', import.meta.url),
  'utf8',
)

/**
 * Rows of texts are joined as they are by TRL, and by Graft where there is no template. Alpaca's are
 * compared as chats where they have a history or a system message.
 */
const isChat = ({ format, line }: Pick<OddRow, 'format' | 'line'>): boolean =>
  format === 'instruction'
    ? /"(history|system)":/.test(line)
    : /"(messages|conversations|prompt|completion|chosen|rejected)":\s*\[/.test(line)

const createReading = (text: string, counted: string): CorpusReading => ({
  result: createHash('sha256').update(text).digest('hex').slice(0, 12),
  details: `${text} ${counted}`,
})

export function readAsReference(
  { format, line, sound }: Pick<OddRow, 'format' | 'line' | 'sound'>,
  tokenizer: Tokenizer,
): CorpusReading {
  try {
    const data = parseJsonl(`${JSON.stringify(sound)}\n${line}`, 'odd.jsonl')
    readExamples(data) // in the format of the sound row
    const odd = { name: data.name, rows: data.rows.slice(1) }
    const options = { tokenizer, maxTokens: 1 << 20 }
    const encoded = encodeData(
      odd,
      isChat({ format, line }) ? { ...options, chatTemplate: template } : options,
    )
    // of a judged answer the second row is one that the loss asks for
    const rows = encoded.judged ? encoded.rows.slice(0, 1) : encoded.rows
    const details = rows
      .map(({ ids, weights, isGood }) => {
        const labels = [...weights].map((weight) =>
          Number.isInteger(weight) ? `${weight}.0` : `${weight}`,
        )
        return `[[${ids.join()}],[${labels.join()}]${isGood === undefined ? '' : `,${isGood}`}]`
      })
      .join()
    const text = `[${details}]`
    const { summary } = encoded
    const counted = JSON.stringify([summary?.leftOut, summary?.brokenText])
    return createReading(text, counted)
  } catch (error) {
    if (!GraftError.isInstance(error)) throw error
    // in a file with other rows it is left out
    if (error.message.includes('every row has the weight 0')) return createReading('[]', '[{},0]')
    return { result: 'error', details: error.message }
  }
}

const isError = (theirs: string): boolean => theirs === 'error'

export const rowReasons: readonly Reason<OddRow>[] = [
  {
    name: 'half a surrogate pair is read as U+FFFD and counted; TRL’s tokenizer refuses it',
    fits: (_, { details }, theirs) => isError(theirs) && details.endsWith(',1]'),
  },
  {
    name: 'a row of two formats is read in the format of the file, the other’s keys are counted',
    fits: ({ mutation }, { details }) =>
      mutation === 'two formats in one row' && !/ \[\{\},/.test(details),
  },
  {
    name: 'of an answer of several messages only the assistant’s own text is learned',
    fits: ({ line, format }, _, theirs) =>
      !isError(theirs) &&
      (format === 'judged' || format === 'preference') &&
      /"(completion|chosen|rejected)":\[[^\]]*\},\{/.test(line),
  },
  {
    name: 'a key whose value is null counts as absent; TRL fails on it',
    fits: ({ mutation }, _, theirs) =>
      isError(theirs) && mutation === 'a further key without a value',
  },
  {
    name: 'a bare string in a list of parts is a text part',
    fits: ({ line }, _, theirs) => isError(theirs) && /"content":\["/.test(line),
  },
]

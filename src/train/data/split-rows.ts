// Rows held out for validation: a random share, in the order of the data.

import { OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import type { EncodedData } from './encode.ts'
import type { RawDataset } from './jsonl.ts'

/**
 * How many rows stay together: both rows of a pair, a rated answer and the row after it, an anchor
 * with its positive and its negatives.
 */
function getGroupRows(data: RawDataset | EncodedData): number {
  if (!('examples' in data)) return 1
  return data.groupSize ?? (data.pairs === true || data.judged === true ? 2 : 1)
}

/**
 * Splits rows in two, the second part with `share` of them, drawn by the seed; both parts keep the
 * order of the data. Throws OptionError if a part would be empty.
 */
export function splitRows<Data extends RawDataset | EncodedData>(
  data: Data,
  share: number,
  seed: number,
): { train: Data; validation: Data } {
  const size = getGroupRows(data)
  const units = data.rows.length / size
  const held = Math.round(units * share)
  if (!(share > 0 && share < 1) || held === 0 || held === units)
    throw new OptionError(
      `Validation share ${share} of ${units} rows: both parts need at least one row.`,
    )
  const order = random(seed).shuffle(Array.from({ length: units }, (_, i) => i))
  const isHeld = new Set(order.slice(0, held))
  const selectPart = (inHeld: boolean): Data => {
    const rows = (data.rows as readonly Data['rows'][number][]).filter(
      (_, i) => isHeld.has(Math.floor(i / size)) === inHeld,
    )
    return { ...data, rows, ...('examples' in data ? { examples: rows.length / size } : {}) }
  }
  return { train: selectPart(false), validation: selectPart(true) }
}

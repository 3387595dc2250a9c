// Rows held back for validation: a random share, in the order of the data.

import { OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import type { EncodedData } from './encode.ts'
import type { RawDataset } from './jsonl.ts'

/**
 * Splits rows in two, the second part with `share` of them, drawn by the seed; both parts keep the
 * order of the data. Throws OptionError where a part would be empty.
 */
export function splitRows<Data extends RawDataset | EncodedData>(
  data: Data,
  share: number,
  seed: number,
): { train: Data; validation: Data } {
  const held = Math.round(data.rows.length * share)
  if (!(share > 0 && share < 1) || held === 0 || held === data.rows.length)
    throw new OptionError(
      `Validation share ${share} of ${data.rows.length} rows: both parts need at least one row.`,
    )
  const order = random(seed).shuffle(data.rows.map((_, i) => i))
  const isHeld = new Set(order.slice(0, held))
  const selectPart = (inHeld: boolean): Data => {
    const rows = (data.rows as readonly Data['rows'][number][]).filter(
      (_, i) => isHeld.has(i) === inHeld,
    )
    return { ...data, rows, ...('examples' in data ? { examples: rows.length } : {}) }
  }
  return { train: selectPart(false), validation: selectPart(true) }
}

// Splits a data set into a training part and a validation part without leakage: a group stays on
// one side.

import { OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { integer, number, readOptions } from '../../base/schema.ts'
import {
  type AdapterDataset,
  countExamples,
  requireDataset,
  selectExamples,
} from './adapter-dataset.ts'
import { createDisjointSets } from './disjoint-sets.ts'
import { groupDuplicates, type DuplicateOptions, duplicateTable } from './duplicates.ts'

const splitTable = {
  ...duplicateTable,
  seed: integer({ default: 0, about: 'the same seed holds out the same examples' }),
  share: number({ default: 0.2, above: 0, below: 1, about: 'of the examples that are held back' }),
}

export interface SplitOptions extends DuplicateOptions {
  /** The same seed holds out the same examples; the default is 0. */
  readonly seed?: number
  /** Share of the examples that are held back for validation; the default is 0.2. */
  readonly share?: number
}

export interface DatasetSplit<Data extends AdapterDataset> {
  readonly train: Data
  readonly validation: Data
}

/**
 * Groups of example numbers that must stay together: examples of one group key, duplicates, and
 * examples connected to either.
 */
function groupUnits(dataset: AdapterDataset, options: DuplicateOptions): number[][] {
  const tied = createDisjointSets(countExamples(dataset))
  const firstOf = new Map<string, number>()
  groupDuplicates(dataset, options).forEach((first, i) => {
    tied.join(first, i)
    const group = dataset.groups[i]
    if (group === undefined) return
    const known = firstOf.get(group)
    if (known === undefined) firstOf.set(group, i)
    else tied.join(known, i)
  })
  const units = new Map<number, number[]>()
  for (let i = 0; i < countExamples(dataset); i++) {
    const unit = units.get(tied.find(i))
    if (unit) unit.push(i)
    else units.set(tied.find(i), [i])
  }
  return [...units.values()]
}

/**
 * Splits by groups and duplicates, in an order drawn from the seed: units go to validation until it
 * has `share` of the examples, as nearly as whole units allow; both parts keep the order of the
 * data set. Throws OptionError if a part would be empty.
 */
export function splitDataset<Data extends AdapterDataset>(
  dataset: Data,
  options: SplitOptions = {},
): DatasetSplit<Data> {
  requireDataset('splitDataset', dataset)
  const { seed, share, similarity } = readOptions(`Split of ${dataset.name}`, options, splitTable)
  const units = random(seed).shuffle(groupUnits(dataset, { ...(similarity && { similarity }) }))
  const count = countExamples(dataset)
  const wanted = Math.max(1, Math.round(share * count))
  const held = new Set<number>()
  for (const unit of units) {
    if (held.size + unit.length / 2 <= wanted && held.size + unit.length < count)
      unit.forEach((i) => held.add(i))
    if (held.size >= wanted) break
  }
  if (held.size === 0)
    throw new OptionError(
      `Split of ${dataset.name}: ${count} examples in ${units.length} groups cannot be parted into ${share} and the rest.`,
    )
  const part = (inHeld: boolean): Data =>
    selectExamples(
      dataset,
      Array.from({ length: count }, (_, i) => i).filter((i) => held.has(i) === inHeld),
    )
  return { train: part(false), validation: part(true) }
}

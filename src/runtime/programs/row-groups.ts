// Assigns experts to the rows of a batch: groups rows by the program that can serve them together,
// and returns results in the caller's order.

import { type Expert, isMixture } from '../../adapters/index.ts'
import { simplifyExpert } from '../../adapters/serving/mixture.ts'
import { OptionError } from '../../base/errors.ts'
import { createField, isRecord, type OptionFields } from '../../base/schema.ts'

export interface AdapterChoice {
  /** For all rows. */
  readonly adapter?: Expert | undefined
  /** One for each row; undefined is the base. */
  readonly adapters?: readonly (Expert | undefined)[] | undefined
}

const isExpert = (value: unknown): boolean =>
  isRecord(value) && ('kind' in value || 'mixture' in value)

export const adapterChoiceFields = {
  adapter: createField<Expert>('an adapter or a mixture', {}, isExpert),
  adapters: createField<readonly (Expert | undefined)[]>(
    'a list of adapters or mixtures, undefined for the base',
    {},
    (value) => Array.isArray(value) && value.every((one) => one === undefined || isExpert(one)),
  ),
} satisfies OptionFields<AdapterChoice>

/**
 * The experts of one pass: one for all rows (undefined: the base), or a list with one for each row.
 */
export type ServedExperts = Expert | undefined | readonly (Expert | undefined)[]

export const isPerRow = (served: ServedExperts): served is readonly (Expert | undefined)[] =>
  Array.isArray(served)

/** The adapters of an expert, each once. */
export const listAdapters = (expert: Expert) =>
  isMixture(expert) ? [...new Set(expert.mixture.map(({ adapter }) => adapter))] : [expert]

/** The experts of the given rows: a list only if they differ. */
export const selectExperts = (
  rows: readonly number[],
  experts: readonly (Expert | undefined)[],
): ServedExperts => {
  const own = rows.map((row) => experts[row])
  return own.every((expert) => expert === own[0]) ? own[0] : own
}

/**
 * The expert of every row, mixtures in their simplest form. Throws OptionError for a list of
 * another length than the batch.
 */
export function resolveExperts(
  count: number,
  { adapter, adapters }: AdapterChoice,
): (Expert | undefined)[] {
  if (!adapters) return new Array<Expert | undefined>(count).fill(simplifyExpert(adapter))
  if (adapter)
    throw new OptionError(
      'Give either adapter, for all rows, or adapters, one for each row; not both.',
    )
  if (adapters.length !== count)
    throw new OptionError(
      `adapters names ${adapters.length} experts for ${count} rows; expected one for each.`,
    )
  return adapters.map(simplifyExpert)
}

/** How rows are served together. */
export interface Grouping {
  /**
   * Whether rows of this expert may share a batch with rows of others; otherwise they run alone.
   */
  readonly sharesBatch: (expert: Expert | undefined) => Promise<boolean>
}

/** Runs `count` rows in as few groups as their experts allow; results are in the rows' order. */
export async function runInGroups<Result>(
  count: number,
  choice: AdapterChoice,
  { sharesBatch }: Grouping,
  run: (
    rows: readonly number[],
    experts: readonly (Expert | undefined)[],
  ) => Promise<readonly Result[]>,
): Promise<Result[]> {
  const experts = resolveExperts(count, choice)
  const groups = new Map<Expert | 'shared', number[]>()
  for (const [row, expert] of experts.entries()) {
    const key = !expert || (await sharesBatch(expert)) ? 'shared' : expert
    groups.set(key, [...(groups.get(key) ?? []), row])
  }
  const results: Result[] = []
  for (const rows of groups.values()) {
    const made = await run(rows, experts)
    rows.forEach((row, i) => (results[row] = made[i]!))
  }
  return results
}

// The adapters of a merge, as a list or by name.

import type { Adapter } from '../adapters/adapter.ts'
import { findAdapterProblem } from '../adapters/serving/mixture.ts'
import { OptionError } from '../base/errors.ts'
import { describeValue, isRecord, joinProblems } from '../base/schema.ts'
import type { AdapterNames } from './recipe.ts'

/** `[coder, reviewer]`, or `{ coder, reviewer }`. */
export type MergeSources<Source = Adapter> = readonly Source[] | Readonly<Record<string, Source>>

export interface NamedSource<Source> {
  readonly source: Source
  /** The key it was given under. */
  readonly key?: string
}

/** The sources in order. Throws OptionError for any other value than a list or an object. */
export function listSources<Source>(sources: MergeSources<Source>): readonly NamedSource<Source>[] {
  if (Array.isArray(sources)) return sources.map((source: Source) => ({ source }))
  if (!isRecord(sources) || typeof sources['kind'] === 'string')
    throw new OptionError(
      `Merge: got ${isRecord(sources) ? 'one adapter' : describeValue(sources)}, expected a list of adapters, or an object with an adapter for each name.`,
    )
  return Object.entries(sources as Readonly<Record<string, Source>>).map(([key, source]) => ({
    source,
    key,
  }))
}

/**
 * Adapters with the names that weights may use. Throws OptionError listing what is not an adapter.
 */
export function listAdapters(sources: MergeSources): {
  readonly adapters: readonly Adapter[]
  readonly names: readonly AdapterNames[]
} {
  const listed = listSources(sources)
  const problems = listed.flatMap(({ source, key }, k) => {
    const problem = findAdapterProblem(source)
    return problem === undefined ? [] : [`adapters[${key ?? k}]: ${problem}`]
  })
  if (problems.length > 0) throw new OptionError(`Merge: ${joinProblems(problems)}`)
  return {
    adapters: listed.map(({ source }) => source),
    names: listed.map(({ source, key }) => listNames(key, source)),
  }
}

/** The key, or else the name in the adapter's metadata. */
export function listNames(key: string | undefined, { metadata }: Adapter): AdapterNames {
  const name = key ?? metadata?.['name']
  return name === undefined ? [] : [name]
}

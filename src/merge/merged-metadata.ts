// Metadata of a merge's result from those of its sources: entries that all share are kept,
// differing ones are listed. Independent of tensors.

import type { Adapter, AdapterMetadata, AdapterText } from '../adapters/adapter.ts'
import { isSameText } from '../adapters/files/adapter-text.ts'

const join = (values: readonly string[], separator: string): string =>
  [...new Set(values)].join(separator)

const joinNames = (adapters: readonly Adapter[]): string | undefined => {
  const names = adapters.map(({ metadata }) => metadata?.['name'])
  if (names.every((name) => name === undefined)) return undefined
  return names.map((name) => name ?? 'unnamed').join(' + ')
}

/**
 * Every entry of every source. Values that differ are listed, once each: names by " + ", tags as
 * one list of words, all others, such as descriptions and hashes of data, by ", ". Undefined if no
 * source has any.
 */
export function mergeMetadata(adapters: readonly Adapter[]): AdapterMetadata | undefined {
  const keys = new Set(adapters.flatMap(({ metadata }) => Object.keys(metadata ?? {})))
  if (keys.size === 0) return undefined
  const mergeValues = (key: string): string => {
    const values = adapters.flatMap(({ metadata }) =>
      metadata && Object.hasOwn(metadata, key) ? [metadata[key]!] : [],
    )
    return key === 'tags'
      ? join(
          values.flatMap((tags) => tags.split(' ')),
          ' ',
        )
      : join(values, ', ')
  }
  const name = joinNames(adapters)
  return Object.fromEntries(
    [...keys].map((key) => [key, key === 'name' ? name! : mergeValues(key)]),
  )
}

/** The tokenizer and chat template that all sources have; undefined if they differ. */
export function findCommonText(adapters: readonly Adapter[]): AdapterText | undefined {
  const [first, ...others] = adapters
  return others.every(({ text }) => isSameText(first?.text, text)) ? first?.text : undefined
}

// Reads and writes an adapter's metadata in a GGUF file: name, description, tags and base under
// llama.cpp's keys, all others as strings under `graft.`.

import type { GgufEntry, GgufFile } from '../../formats/gguf/types.ts'
import type { Adapter } from '../adapter.ts'

const textKeys: ReadonlyMap<string, string> = new Map([
  ['name', 'general.name'],
  ['description', 'general.description'],
])
const tagsKey = 'general.tags'
const baseCountKey = 'general.base_model.count'
const baseNameKey = 'general.base_model.0.name'
const baseUrlKey = 'general.base_model.0.repo_url'
const ownPrefix = 'graft.'

export function encodeGgufMetadata({ metadata = {}, baseModel }: Adapter): [string, GgufEntry][] {
  const entries = Object.entries(metadata).map(([key, value]): [string, GgufEntry] =>
    key === 'tags'
      ? [tagsKey, { type: 'string[]', value: value.split(' ') }]
      : [textKeys.get(key) ?? ownPrefix + key, { type: 'string', value }],
  )
  if (baseModel === undefined) return entries
  return [
    ...entries,
    [baseCountKey, { type: 'u32', value: 1 }],
    [baseNameKey, { type: 'string', value: baseModel }],
  ]
}

/**
 * The hub's owner/name, from the page's URL that llama.cpp's converter writes in addition to a
 * readable name.
 */
const findHubName = (url: unknown): string | undefined =>
  typeof url === 'string'
    ? /^https:\/\/huggingface\.co\/([\w.-]+\/[\w.-]+)\/?$/.exec(url)?.[1]
    : undefined

export function decodeGgufMetadata({
  metadata: entries,
}: Pick<GgufFile, 'metadata'>): Pick<Adapter, 'metadata' | 'baseModel'> {
  const metadata: Record<string, string> = {}
  for (const [key, ggufKey] of textKeys) {
    const value = entries.get(ggufKey)
    if (typeof value === 'string') metadata[key] = value
  }
  const tags = entries.get(tagsKey)
  if (Array.isArray(tags)) metadata['tags'] = tags.join(' ')
  for (const [key, value] of entries)
    if (key.startsWith(ownPrefix) && typeof value === 'string')
      metadata[key.slice(ownPrefix.length)] = value
  const base = findHubName(entries.get(baseUrlKey)) ?? entries.get(baseNameKey)
  return {
    ...(typeof base === 'string' && { baseModel: base }),
    ...(Object.keys(metadata).length > 0 && { metadata }),
  }
}

// How registered experts are shown: rows of a table, lines of one expert, JSON.

import type { RegisteredExpert, ResolvedExpert, SearchResult } from '../../registry/registry.ts'
import { formatBytes } from '../ui/format.ts'

type ShownExpert = RegisteredExpert & Partial<Pick<SearchResult, 'similarity'>>

/** On one line, control codes as escapes: texts of a manifest may be anybody's. */
export const toPlainLine = (text: string): string =>
  text.replace(/\p{Cc}/gu, (code) =>
    /\s/.test(code) ? ' ' : `\\u${code.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

/** With a head; none if there is no expert. */
export function listExpertRows(experts: readonly ShownExpert[]): string[][] {
  if (experts.length === 0) return []
  const rows = experts.map((expert) => {
    const { id, version, channels, manifest, sizeBytes, tags } = expert
    const kind = typeof manifest.kind === 'string' ? manifest.kind : manifest.kind.join('+')
    return [
      id,
      version,
      channels.join(', '),
      kind,
      manifest.base.id ?? `sha256:${manifest.base.sha256?.slice(0, 12)}`,
      formatBytes(sizeBytes),
      [manifest.description ?? '', ...tags.map((tag) => `#${tag}`)].join(' ').trim(),
    ].map(toPlainLine)
  })
  return [['expert', 'version', 'channels', 'kind', 'base', 'size', 'what for'], ...rows]
}

export function toManifestLines(expert: ResolvedExpert): string[] {
  const { id, version, hash, sizeBytes, addedAt, channels, tags, manifest, location } = expert
  const facts = [
    ['hash', `sha256:${hash}`],
    ['size', formatBytes(sizeBytes)],
    ['added', addedAt],
    ['channels', channels.join(', ') || 'none'],
    ['tags', tags.join(', ') || 'none'],
    ['place', location],
  ]
  const said = Object.entries(manifest)
    .filter(([key]) => !['layout', 'id', 'version', 'tags', '$schema'].includes(key))
    .map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)])
  const width = Math.max(...[...facts, ...said].map(([key]) => key!.length))
  const lines = [...facts, ...said].map(
    ([key, value]) => `  ${key!.padEnd(width)}  ${toPlainLine(value!)}`,
  )
  return [`${id}@${version}`, ...lines]
}

export const toExpertJson = (expert: ShownExpert) => ({
  id: expert.id,
  version: expert.version,
  sha256: expert.hash,
  sizeBytes: expert.sizeBytes,
  addedAt: expert.addedAt,
  channels: expert.channels,
  tags: expert.tags,
  manifest: expert.manifest,
  ...(expert.similarity !== undefined && { similarity: expert.similarity }),
})

// What is published where --from says, for list, show, search and add.

import type { PublishedExpert } from '../../registry/publish/layout-index.ts'
import type { RegisteredExpert, SearchQuery, SearchResult } from '../../registry/registry.ts'
import { formatBytes } from '../ui/format.ts'
import type { ActionContext } from './action.ts'

export interface OpenedFrom {
  readonly name: string
  list(id?: string): readonly PublishedExpert[]
  resolve(reference: string): PublishedExpert
  search(query: SearchQuery): readonly SearchResult[]
}

/** Undefined without --from. Entries that cannot be read are told. */
export async function openFrom({
  values,
  terminal,
  signal,
}: ActionContext): Promise<OpenedFrom | undefined> {
  const { from, 'allow-private': allowPrivate } = values
  if (from === undefined) return undefined
  const [{ openPublished }, published, { createSearchIndex, searchExperts }] = await Promise.all([
    import('../../node/registry/publish/published-layout.ts'),
    import('../../registry/publish/layout-index.ts'),
    import('../../registry/search.ts'),
  ])
  const { name, index } = await openPublished(from, { allowPrivate, signal })
  for (const { name: entry, error } of index.faults)
    terminal.note(`${entry} cannot be read: ${error.message}`)
  return {
    name,
    list: (id) => published.listPublished(index, id),
    resolve: (reference) => published.resolvePublished(index, reference, name),
    search: (query) =>
      searchExperts(
        createSearchIndex(
          published
            .listPublished(index)
            .map((expert) => Object.assign({}, expert, { vector: undefined })),
        ),
        query,
      ),
  }
}

/** Fetches an expert into the registry, with a progress line. */
export async function fetchExpert(
  reference: string,
  { registry, values, terminal, signal }: ActionContext,
): Promise<RegisteredExpert> {
  const { addPublished } = await import('../../node/registry/publish/add-published.ts')
  const { from, channel: channels, key: keys } = values
  let progress: ReturnType<typeof terminal.progress> | undefined
  const added = await addPublished(registry, reference, from!, {
    channels,
    keys,
    signal,
    maxBytes: values['max-bytes'],
    allowPrivate: values['allow-private'],
    onProgress({ receivedBytes, totalBytes }) {
      progress ??= terminal.progress(reference, totalBytes)
      progress.update(receivedBytes, `${formatBytes(receivedBytes)} of ${formatBytes(totalBytes)}`)
    },
  })
  progress?.end()
  return added
}

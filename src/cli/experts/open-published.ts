// Published experts at the address of --from, for list, show, search and add.

import type { PublishedLayout } from '../../node/registry/publish/published-layout.ts'
import type { RegisteredExpert } from '../../registry/registry.ts'
import { quoteName } from '../../formats/quote.ts'
import { formatBytes } from '../ui/format.ts'
import type { ActionContext } from './action.ts'

/** Undefined without --from. Entries that cannot be read are reported. */
export async function openFrom({
  values,
  terminal,
  signal,
}: ActionContext): Promise<PublishedLayout | undefined> {
  const { from, 'allow-private': allowPrivate } = values
  if (from === undefined) return undefined
  const { openPublished } = await import('../../node/registry/publish/published-layout.ts')
  const published = await openPublished(from, { allowPrivate, signal })
  for (const { name, error } of published.index.faults)
    terminal.note(`${quoteName(name)} cannot be read: ${error.message}`)
  return published
}

/** Fetches an expert into the registry, with a progress line. */
export async function fetchExpert(
  reference: string,
  { registry, values, terminal, signal }: ActionContext,
): Promise<RegisteredExpert> {
  const { from, channel: channels, key: keys } = values
  let progress: ReturnType<typeof terminal.progress> | undefined
  const added = await registry.fetch(reference, from!, {
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

// Adds a published expert to a registry: fetched next to the content of the registry, compared with
// its digests, then added like a folder.

import { mkdir, rm } from 'node:fs/promises'
import { ConflictError } from '../../../base/errors.ts'
import { checkOptions, listOf, string } from '../../../base/schema.ts'
import type { RegisteredExpert, Registry } from '../../../registry/registry.ts'
import { toStorageError } from '../../files/system-errors.ts'
import { createReceivedPath } from '../content-folder.ts'
import { verifyFolder } from '../sign-folder.ts'
import { fetchFields, type FetchOptions, openPublished } from './published-layout.ts'

export interface AddPublishedOptions extends FetchOptions {
  /** Channels that point to it here. Default: none. */
  readonly channels?: readonly string[] | undefined
  /** Files of public keys: its signature must be by one of them. */
  readonly keys?: readonly string[] | undefined
}

const addPublishedFields = {
  ...fetchFields,
  channels: listOf(string({ filled: true })),
  keys: listOf(string({ filled: true }), { least: 1 }),
}

/**
 * Adds `coder`, `coder@^1.2` or `coder@stable` as it is published at an address or in a folder.
 * Throws what fetching and adding throw; then the registry is as it was.
 */
export async function addPublished(
  registry: Registry,
  reference: string,
  from: string,
  options: AddPublishedOptions = {},
): Promise<RegisteredExpert> {
  checkOptions('Options of add', options, addPublishedFields)
  const { channels, keys, ...fetching } = options
  const published = await openPublished(from, fetching)
  const expert = published.resolve(reference)
  const known = await findKnown(registry, expert)
  if (known && keys === undefined) return moveChannels(registry, known, channels)
  const { id, version, manifest, tags } = expert
  const place = createReceivedPath(registry.location)
  try {
    await mkdir(place).catch((cause: unknown) => {
      throw toStorageError(`${place}: cannot be created`, cause)
    })
    await published.fetchInto(place, expert)
    if (keys) await verifyFolder(place, keys)
    const added = await registry.add(place, { id, version, manifest, channels })
    const missing = tags.filter((tag) => !added.tags.includes(tag))
    if (missing.length === 0) return added
    return await registry.tag(`${id}@${version}`, { add: missing })
  } finally {
    await rm(place, { recursive: true, force: true })
  }
}

/** The same version, if it exists already: nothing needs to be fetched. */
async function findKnown(
  registry: Registry,
  { id, version, hash }: RegisteredExpert,
): Promise<RegisteredExpert | undefined> {
  const known = (await registry.list(id)).find((expert) => expert.version === version)
  if (known && known.hash !== hash)
    throw new ConflictError(
      `${registry.location} has ${id}@${version} with other content (sha256:${known.hash.slice(0, 12)}…, published is sha256:${hash.slice(0, 12)}…). A version never changes: remove one, or ask for another version.`,
    )
  return known
}

async function moveChannels(
  registry: Registry,
  { id, version }: RegisteredExpert,
  channels: readonly string[] = [],
): Promise<RegisteredExpert> {
  for (const channel of channels) await registry.setChannel(id, channel, version)
  return registry.resolve(`${id}@${version}`)
}

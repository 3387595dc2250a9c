// Publishes an expert of a registry: an OCI image layout of static files in a folder, for any web
// server.

import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { ConflictError } from '../../../base/errors.ts'
import { checkOptions, listOf, string, unchecked } from '../../../base/schema.ts'
import {
  encodeImage,
  encodeImageConfig,
  encodePlainConfig,
  encodePlainImage,
  type ImageFile,
} from '../../../registry/publish/image.ts'
import {
  addToIndex,
  type LayoutIndex,
  type PublishedExpert,
  resolvePublished,
} from '../../../registry/publish/layout-index.ts'
import { encodeVector } from '../../../registry/publish/published-vectors.ts'
import { type Embedder, embedExperts } from '../../../registry/meaning.ts'
import { checkChannels } from '../../../registry/reference.ts'
import type { RegisteredExpert, Registry } from '../../../registry/registry.ts'
import { compareByCodePoint } from '../../../registry/signing/resources.ts'
import { withLock } from '../../files/lock.ts'
import { listFiles } from '../../files/list-files.ts'
import { formatFolderCard } from '../folder-card.ts'
import {
  type Blob,
  dropFromIndex,
  readIndex,
  removeUnfinished,
  toBlob,
  writeBlobs,
  writeIndex,
} from './layout-folder.ts'
import { openPublished } from './published-layout.ts'

export interface PublishOptions {
  /** Channels that point to it there. Default: those of the registry. */
  readonly channels?: readonly string[] | undefined
  /** Computes the vector for searches by meaning. */
  readonly embedder?: Embedder | undefined
  /** The current time, as ISO 8601; for tests. */
  readonly now?: (() => string) | undefined
}

const publishFields = {
  channels: listOf(string({ filled: true })),
  embedder: unchecked<Embedder>('an embedder'),
  now: unchecked<() => string>('a function'),
}

const lockFile = '.publish.lock'

/**
 * Adds a version to a layout, which is created if there is none. The same version again moves its
 * channels. Throws SignatureError if its files were changed, ConflictError if the version is
 * published with other content.
 */
export async function publishExpert(
  registry: Registry,
  reference: string,
  folder: string,
  options: PublishOptions = {},
): Promise<PublishedExpert> {
  checkOptions('Options of publish', options, publishFields)
  const { now = () => new Date().toISOString(), embedder } = options
  const found = await registry.verify(reference)
  const { location } = await registry.resolve(`${found.id}@${found.version}`)
  const channels = options.channels ?? found.channels
  checkChannels(channels)
  const own = embedder && { [embedder.id]: await computeVector(found, embedder) }
  return withLock(join(folder, lockFile), async () => {
    await removeUnfinished(folder)
    const index = await readIndex(folder)
    const known = findPublished(index, found)
    const images = known ?? (await writeImages(folder, found, location))
    const vectors = own || known?.vectors ? Object.assign({}, known?.vectors, own) : undefined
    const expert = {
      ...describeVersion(found),
      image: images.image,
      ...(images.plain && { plain: images.plain }),
      ...(vectors && { vectors }),
      addedAt: known?.addedAt ?? now(),
      channels: [...new Set([...(known?.channels ?? []), ...channels])],
    }
    await writeIndex(folder, addToIndex(index, expert))
    return expert
  })
}

async function computeVector(found: RegisteredExpert, embedder: Embedder): Promise<string> {
  const [made] = await embedExperts([found], embedder)
  return encodeVector(made!.vector)
}

/**
 * Removes a version from a layout, with the blobs that no other version has. Throws NotFoundError
 * if it is not there.
 */
export async function withdrawExpert(reference: string, folder: string): Promise<PublishedExpert> {
  // before the lock, which would create the folder
  await openPublished(folder)
  return withLock(join(folder, lockFile), async () => {
    await removeUnfinished(folder)
    const index = await readIndex(folder)
    const found = resolvePublished(index, reference, folder)
    const { id, version, image, plain } = found
    const left = index.experts.filter((expert) => expert.id !== id || expert.version !== version)
    const { faults, others } = index
    const images = [image, plain].flatMap((one) => one?.hash ?? [])
    await dropFromIndex(folder, { experts: left, faults, others }, images)
    return found
  })
}

function findPublished(
  { experts }: LayoutIndex,
  { id, version, hash }: RegisteredExpert,
): PublishedExpert | undefined {
  const known = experts.find((expert) => expert.id === id && expert.version === version)
  if (known && known.hash !== hash)
    throw new ConflictError(
      `${id}@${version} is published with other content (sha256:${known.hash.slice(0, 12)}…, got sha256:${hash.slice(0, 12)}…). A version never changes: give the new one a higher number.`,
    )
  return known
}

/** Writes a version: its image, and the same files as a plain image. */
async function writeImages(
  folder: string,
  found: RegisteredExpert,
  location: string,
): Promise<Pick<PublishedExpert, 'image' | 'plain'>> {
  const { manifest, hash } = describeVersion(found)
  const blobs: Blob[] = []
  const files: ImageFile[] = []
  for (const listed of await listFiles(location)) {
    const file = { path: listed.path, hash: await listed.hash(), sizeBytes: listed.sizeBytes }
    files.push(file)
    blobs.push({ ...file, open: () => createReadStream(join(location, file.path)) })
  }
  files.sort((a, b) => compareByCodePoint(a.path, b.path))
  const card = toBlob(
    new TextEncoder().encode(await formatFolderCard({ location, manifest, tags: [] })),
  )
  const parts = { manifest, hash, files, card }
  const config = toBlob(encodeImageConfig(parts))
  const bytes = encodeImage(parts, config)
  const image = toBlob(bytes)
  const plainConfig = toBlob(encodePlainConfig(parts))
  const plain = toBlob(encodePlainImage(bytes, plainConfig))
  await writeBlobs(folder, [...blobs, card, config, image, plainConfig, plain])
  const toImage = (blob: Blob) => ({ hash: blob.hash, sizeBytes: blob.sizeBytes })
  return { image: toImage(image), plain: toImage(plain) }
}

/** With the tags that the registry gave it. */
function describeVersion({ id, version, hash, sizeBytes, tags, manifest }: RegisteredExpert) {
  const own = tags.length > 0 ? Object.assign({}, manifest, { tags }) : manifest
  return { id, version, hash, sizeBytes, tags, manifest: own }
}

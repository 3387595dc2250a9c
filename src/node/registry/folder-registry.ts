// A registry over an index and a store of files. Independent of the location of both.

import { setTimeout as sleep } from 'node:timers/promises'
import { OptionError, SignatureError } from '../../base/errors.ts'
import { checkOptions, listOf, string, unchecked } from '../../base/schema.ts'
import { quoteName } from '../../formats/quote.ts'
import { checkChannels, parseReference, selectVersion } from '../../registry/reference.ts'
import type {
  AddOptions,
  ExpertVector,
  SearchResult,
  RegisteredExpert,
  RegistryChange,
  ResolvedExpert,
  SearchQuery,
} from '../../registry/registry.ts'
import type { ExpertManifest } from '../../registry/manifest/manifest-fields.ts'
import {
  applyTagChange,
  createUnknownExpert,
  sortVersions,
  type TagChange,
} from '../../registry/registry-rules.ts'
import { checkVectors, searchExperts, type SearchableExpert } from '../../registry/search.ts'
import type { ContentRemoval, RegistryContent } from './content/registry-content.ts'
import type { ImportOptions } from './archive/import-archive.ts'
import { readFolderManifest, renameManifest } from './folder-manifest.ts'
import type { LocalRegistry } from './local-registry.ts'
import type { RegistryIndex, RegistryView } from './registry-index.ts'
import type { AddPublishedOptions } from './publish/add-published.ts'
import type { FetchOptions } from './publish/published-layout.ts'
import type { PublishOptions } from './publish/publish-expert.ts'

const addFields = {
  id: string({ filled: true }),
  version: string({ filled: true }),
  channels: listOf(string({ filled: true })),
  vector: unchecked<Float32Array>('a Float32Array'),
  manifest: unchecked<ExpertManifest>('a manifest'),
}

const pollMs = 40

export interface RegistryParts {
  readonly location: string
  readonly content: RegistryContent
  readonly tables: RegistryIndex
  readonly snapshot: RegistryView
  readonly run: <T>(work: () => T | Promise<T>) => Promise<T>
  readonly now: () => string
  readonly close: () => Promise<void>
}

export class FolderRegistry implements LocalRegistry {
  readonly location: string
  readonly #parts: RegistryParts
  readonly close: () => Promise<void>

  constructor(parts: RegistryParts) {
    this.#parts = parts
    this.location = parts.location
    this.close = parts.close
  }

  async add(folder: string, options: AddOptions = {}): Promise<RegisteredExpert> {
    checkOptions('Options of add', options, addFields)
    const { content, tables, run, now } = this.#parts
    const { channels = [], vector } = options
    checkChannels(channels)
    const staged = await content.stage(folder, (place) =>
      renameManifest(place, { id: options.id, version: options.version, folder }),
    )
    const { hash, sizeBytes } = staged.content
    try {
      const manifest = await readFolderManifest(staged.place, { ...options, folder, now: now() })
      const { id, version } = manifest
      await run(() => tables.startPending(hash))
      await staged.keep()
      const expert = { id, version, hash, sizeBytes, addedAt: now(), manifest, channels, vector }
      await run(() => tables.add(expert))
      return this.#find(`${id}@${version}`)
    } finally {
      await run(() => tables.endPending(hash))
      await staged.drop()
    }
  }

  async publish(reference: string, folder: string, options: PublishOptions = {}) {
    const { publishExpert } = await import('./publish/publish-expert.ts')
    return publishExpert(this, reference, folder, options)
  }

  async fetch(reference: string, from: string, options: AddPublishedOptions = {}) {
    const { addPublished } = await import('./publish/add-published.ts')
    return addPublished(this, reference, from, options)
  }

  async openPublished(from: string, options: FetchOptions = {}) {
    return (await import('./publish/published-layout.ts')).openPublished(from, options)
  }

  async exportTo(reference: string, out: string): Promise<RegisteredExpert> {
    const [{ copyExpertTo }, { exportArchive, isArchivePath }] = await Promise.all([
      import('./export-expert.ts'),
      import('./archive/export-archive.ts'),
    ])
    const found = await this.verify(reference)
    const resolved = await this.resolve(`${found.id}@${found.version}`)
    await (isArchivePath(out) ? exportArchive : copyExpertTo)(resolved, out)
    return found
  }

  async importFrom(file: string, options: ImportOptions = {}) {
    const { importArchive } = await import('./archive/import-archive.ts')
    return importArchive(this, file, options)
  }

  async resolve(reference: string): Promise<ResolvedExpert> {
    const found = await this.#find(reference)
    return { ...found, location: await this.#parts.content.open(found.hash) }
  }

  async #find(text: string): Promise<RegisteredExpert> {
    const { tables, run, location } = this.#parts
    const reference = parseReference(text)
    const versions = await run(() => tables.listVersions(reference.id))
    if (versions.length === 0) {
      const ids = await run(() => tables.listIds())
      throw createUnknownExpert(location, reference.id, ids)
    }
    const channels = await run(() => tables.readChannels(reference.id))
    return withoutVector(selectVersion(reference, versions, channels))
  }

  async list(id?: string): Promise<readonly RegisteredExpert[]> {
    const { tables, snapshot, run } = this.#parts
    const experts = await run(() => (id === undefined ? snapshot.newest : tables.listVersions(id)))
    return (id === undefined ? experts : sortVersions(experts)).map(withoutVector)
  }

  async search(query: SearchQuery): Promise<readonly SearchResult[]> {
    const { snapshot, run } = this.#parts
    return searchExperts(await run(() => snapshot.getIndex(query.embedder)), query)
  }

  async listWithoutVector(embedder: string): Promise<readonly RegisteredExpert[]> {
    const { snapshot, run } = this.#parts
    const { experts } = await run(() => snapshot.getIndex(embedder))
    return experts.filter(({ vector }) => !vector).map(withoutVector)
  }

  async setVectors(embedder: string, vectors: readonly ExpertVector[]): Promise<void> {
    checkVectors(embedder, vectors)
    const { tables, run } = this.#parts
    await run(() => tables.setVectors(embedder, vectors))
  }

  async setChannel(id: string, channel: string, version: string | undefined): Promise<void> {
    checkChannels([channel])
    const { tables, run } = this.#parts
    const found = await this.#find(version === undefined ? id : `${id}@${version}`)
    if (version !== undefined && found.version !== version)
      throw new OptionError(`Channel ${quoteName(channel)}: expected one version, got ${version}.`)
    await run(() => tables.setChannel(id, channel, version))
  }

  async tag(reference: string, change: TagChange): Promise<RegisteredExpert> {
    applyTagChange([], change)
    const found = await this.#find(reference)
    const tags = applyTagChange(found.tags, change)
    const { tables, run } = this.#parts
    await run(() => tables.setTags(found.id, found.version, tags))
    return { ...found, tags }
  }

  async verify(reference: string): Promise<RegisteredExpert> {
    const found = await this.resolve(reference)
    const hash = await this.#parts.content.compute(found.hash)
    if (hash !== found.hash)
      throw new SignatureError(
        `Expert ${quoteName(reference)}: its files have the hash sha256:${hash}, and the index has sha256:${found.hash}: they were changed. Remove it and add it again.`,
      )
    return found
  }

  async remove(reference: string): Promise<RegisteredExpert> {
    const { tables, run } = this.#parts
    const found = await this.#find(reference)
    await run(() => tables.remove(found.id, found.version))
    await this.#removeUnneeded([found.hash])
    return found
  }

  async collectGarbage(): Promise<number> {
    const { content } = this.#parts
    const freed = await content.removeAbandoned()
    return freed + (await this.#removeUnneeded(await content.list()))
  }

  async #removeUnneeded(hashes: readonly string[]): Promise<number> {
    const { tables, content, run } = this.#parts
    const removals: ContentRemoval[] = []
    await run(() =>
      tables.detachUnneeded(hashes, (hash) => {
        const removal = content.prepareRemoval(hash)
        removals.push(removal)
        return removal.detach()
      }),
    )
    let freed = 0
    for (const removal of removals) freed += await removal.finish()
    return freed
  }

  async *watch(signal: AbortSignal): AsyncGenerator<RegistryChange, void> {
    const { tables, run } = this.#parts
    let place = await run(() => tables.newestPlace)
    while (!signal.aborted) {
      const found = await run(() => tables.readChanges(place))
      place = found.place
      yield* found.changes
      await sleep(pollMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }
}

const withoutVector = ({ vector: _vector, ...expert }: SearchableExpert): RegisteredExpert => expert

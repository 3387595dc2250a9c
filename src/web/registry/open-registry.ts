// A registry of experts in a browser: names and versions in IndexedDB, files by content hash in
// OPFS or IndexedDB. Several tabs may use it at once; closing a tab at any time leaves it
// consistent.

import { OptionError, SignatureError, UnsupportedError } from '../../base/errors.ts'
import { checkOptions, listOf, oneOf, string, unchecked } from '../../base/schema.ts'
import type { ByteFolder } from '../../formats/byte-source.ts'
import { quoteName } from '../../formats/quote.ts'
import type { ExpertManifest } from '../../registry/manifest/manifest-fields.ts'
import { checkChannels, parseReference, selectVersion } from '../../registry/reference.ts'
import type {
  AddOptions,
  ExpertVector,
  RegisteredExpert,
  Registry,
  RegistryChange,
  ResolvedExpert,
  SearchQuery,
  SearchResult,
} from '../../registry/registry.ts'
import {
  applyTagChange,
  createUnknownExpert,
  selectNewestVersions,
  sortVersions,
  type TagChange,
} from '../../registry/registry-rules.ts'
import {
  checkVectors,
  createSearchIndex,
  type SearchableExpert,
  searchExperts,
} from '../../registry/search.ts'
import { signatureFile } from '../../registry/signing/resources.ts'
import { type ContentStore, countFileBytes, type ExpertFiles } from './content-store.ts'
import { hasOpfs, openOpfsContent } from './opfs-content.ts'
import {
  computeFilesHash,
  copyFiles,
  readManifest,
  toByteFolder,
  verifyExpertFiles,
} from './read-expert.ts'
import { RegistryDatabase } from './registry-database.ts'

/** A registry whose experts are added as files in memory. */
export interface WebRegistry extends Registry<ExpertFiles> {
  /** The files of an expert, for `loadAdapter`; their hash is checked. */
  open(reference: string): Promise<ByteFolder>
  /** Throws SignatureError unless one of these public keys, in PEM, has signed the expert. */
  verifySignature(reference: string, publicPems: readonly string[]): Promise<RegisteredExpert>
}

export interface WebRegistryOptions {
  /** Where files are kept. Default: OPFS where the browser has it, else IndexedDB. */
  readonly content?: 'opfs' | 'indexed-db' | undefined
}

const openFields = { content: oneOf(['opfs', 'indexed-db']) }

const addFields = {
  id: string({ filled: true }),
  version: string({ filled: true }),
  channels: listOf(string({ filled: true })),
  vector: unchecked<Float32Array>('a Float32Array'),
  manifest: unchecked<ExpertManifest>('a manifest'),
}

const pollMs = 40

/**
 * Opens the registry of this name, or creates it. Throws StorageError if the browser forbids
 * storage or a newer version of Graft created it, UnsupportedError without Web Locks.
 */
export async function openRegistry(
  name = 'graft-experts',
  options: WebRegistryOptions = {},
): Promise<WebRegistry> {
  checkOptions('Registry options', options, openFields)
  if (navigator.locks === undefined)
    throw new UnsupportedError(
      'A registry needs Web Locks, which a page gets only over https or from this machine.',
    )
  const { content = hasOpfs() ? 'opfs' : 'indexed-db' } = options
  const database = await RegistryDatabase.open(name)
  try {
    const files = content === 'opfs' ? await openOpfsContent(name) : database.createContent()
    return new BrowserRegistry(name, database, files)
  } catch (error) {
    database.close()
    throw error
  }
}

class BrowserRegistry implements WebRegistry {
  readonly location: string
  readonly #lock: string
  readonly #database: RegistryDatabase
  readonly #content: ContentStore

  constructor(name: string, database: RegistryDatabase, content: ContentStore) {
    this.location = content.name
    this.#lock = `graft-registry:${name}`
    this.#database = database
    this.#content = content
  }

  async add(given: ExpertFiles, options: AddOptions = {}): Promise<RegisteredExpert> {
    checkOptions('Options of add', options, addFields)
    const { channels = [], vector } = options
    checkChannels(channels)
    const files = copyFiles(given)
    const hash = await computeFilesHash(files)
    const addedAt = new Date().toISOString()
    const manifest = await readManifest(files, options, addedAt)
    const { id, version, tags = [] } = manifest
    const sizeBytes = countFileBytes(files)
    await this.#exclusively(async () => {
      await this.#keep(hash, files)
      const row = { hash, sizeBytes, addedAt, manifest, tags, vector }
      try {
        await this.#database.add(id, version, row, channels)
      } catch (error) {
        await this.#removeUnneeded([hash])
        throw error
      }
    })
    return this.#find(`${id}@${version}`)
  }

  /** Writes content that is missing or was changed; for unchanged content, only a new signature. */
  async #keep(hash: string, files: ExpertFiles): Promise<void> {
    const known = await this.#content.read(hash)
    const isWhole = known.size > 0 && (await computeFilesHash(known)) === hash
    const signature = files.get(signatureFile)
    if (!isWhole) {
      await this.#content.remove(hash)
      await this.#content.write(hash, files)
    } else if (signature) await this.#content.write(hash, new Map([[signatureFile, signature]]))
  }

  async resolve(reference: string): Promise<ResolvedExpert> {
    const found = await this.#find(reference)
    return Object.assign(found, { location: `${this.#content.name}/${found.hash}` })
  }

  async open(reference: string): Promise<ByteFolder> {
    const { files, found } = await this.#readWhole(reference)
    return toByteFolder(`${found.id}@${found.version}`, files)
  }

  async #readWhole(
    reference: string,
  ): Promise<{ found: RegisteredExpert; files: Map<string, Uint8Array> }> {
    const found = await this.#find(reference)
    const files = await this.#content.read(found.hash)
    const hash = files.size === 0 ? 'nothing' : await computeFilesHash(files)
    if (hash !== found.hash)
      throw new SignatureError(
        `Expert ${quoteName(reference)}: its files have the hash sha256:${hash}, and the index has sha256:${found.hash}: they were changed. Add it again.`,
      )
    return { found, files }
  }

  async #find(text: string): Promise<RegisteredExpert> {
    const reference = parseReference(text)
    const versions = await this.#database.listVersions(reference.id)
    if (versions.length === 0) {
      const ids = new Set((await this.#database.listAll()).map(({ id }) => id))
      throw createUnknownExpert(this.location, reference.id, [...ids])
    }
    const channels = await this.#database.readChannels(reference.id)
    return withoutVector(selectVersion(reference, versions, channels))
  }

  async list(id?: string): Promise<readonly RegisteredExpert[]> {
    const experts =
      id === undefined
        ? selectNewestVersions(await this.#database.listAll())
        : sortVersions(await this.#database.listVersions(id))
    return experts.map(withoutVector)
  }

  async search(query: SearchQuery): Promise<readonly SearchResult[]> {
    const experts = await this.#database.listAll(query.embedder)
    return searchExperts(createSearchIndex(selectNewestVersions(experts)), query)
  }

  async listWithoutVector(embedder: string): Promise<readonly RegisteredExpert[]> {
    const experts = selectNewestVersions(await this.#database.listAll(embedder))
    return experts.filter(({ vector }) => !vector).map(withoutVector)
  }

  async setVectors(embedder: string, vectors: readonly ExpertVector[]): Promise<void> {
    checkVectors(embedder, vectors)
    await this.#database.setVectors(embedder, vectors)
  }

  async setChannel(id: string, channel: string, version: string | undefined): Promise<void> {
    checkChannels([channel])
    const found = await this.#find(version === undefined ? id : `${id}@${version}`)
    if (version !== undefined && found.version !== version)
      throw new OptionError(`Channel ${quoteName(channel)}: expected one version, got ${version}.`)
    await this.#database.setChannel(id, channel, version)
  }

  async tag(reference: string, change: TagChange): Promise<RegisteredExpert> {
    applyTagChange([], change)
    const found = await this.#find(reference)
    const tags = applyTagChange(found.tags, change)
    await this.#database.setTags(found.id, found.version, tags)
    return Object.assign(found, { tags })
  }

  async verify(reference: string): Promise<RegisteredExpert> {
    return (await this.#readWhole(reference)).found
  }

  async verifySignature(
    reference: string,
    publicPems: readonly string[],
  ): Promise<RegisteredExpert> {
    const { found, files } = await this.#readWhole(reference)
    await verifyExpertFiles(files, publicPems)
    return found
  }

  async remove(reference: string): Promise<RegisteredExpert> {
    const found = await this.#find(reference)
    await this.#exclusively(async () => {
      await this.#database.remove(found.id, found.version)
      await this.#removeUnneeded([found.hash])
    })
    return found
  }

  collectGarbage(): Promise<number> {
    return this.#exclusively(async () => this.#removeUnneeded(await this.#content.list()))
  }

  async #removeUnneeded(hashes: readonly string[]): Promise<number> {
    const needed = new Set((await this.#database.listAll()).map(({ hash }) => hash))
    let freed = 0
    for (const hash of hashes) if (!needed.has(hash)) freed += await this.#content.remove(hash)
    return freed
  }

  async *watch(signal: AbortSignal): AsyncGenerator<RegistryChange, void> {
    let { place } = await this.#database.readChanges(undefined)
    while (!signal.aborted) {
      const found = await this.#database.readChanges(place)
      place = found.place
      yield* found.changes
      await wait(pollMs)
    }
  }

  async close(): Promise<void> {
    this.#database.close()
  }

  /** Runs the work in one tab at a time; closing a tab releases its lock. */
  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    return (await navigator.locks.request(this.#lock, work)) as T
  }
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

const withoutVector = ({ vector: _vector, ...expert }: SearchableExpert): RegisteredExpert => expert

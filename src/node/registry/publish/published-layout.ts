// Reads a published layout: its index, and the files of an expert, each compared with its digest as
// it is received.

import { FormatError } from '../../../base/errors.ts'
import { checkOptions, flag, integer, unchecked } from '../../../base/schema.ts'
import { getBlobPath, indexFile } from '../../../registry/publish/descriptor.ts'
import { type ImageFile, readImage, verifyContentHash } from '../../../registry/publish/image.ts'
import {
  type LayoutIndex,
  listPublished,
  type PublishedExpert,
  readLayoutIndex,
  resolvePublished,
} from '../../../registry/publish/layout-index.ts'
import type { Embedder } from '../../../registry/meaning.ts'
import {
  type MeaningOptions,
  searchPublishedByMeaning,
} from '../../../registry/publish/published-vectors.ts'
import type { SearchQuery, SearchResult } from '../../../registry/registry.ts'
import { createSearchIndex, searchExperts } from '../../../registry/search.ts'
import { createFileSink } from '../../files/file-sink.ts'
import { checkBytes, collectBytes } from './checked-bytes.ts'
import { openPublishedFiles, type PublishedFiles } from './published-files.ts'

export interface FetchOptions {
  /** Bytes of one expert at most. Default 4 GiB. */
  readonly maxBytes?: number | undefined
  /** A redirect may lead to an address of the local network. Default false. */
  readonly allowPrivate?: boolean | undefined
  readonly onProgress?: ((progress: FetchProgress) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

export interface FetchProgress {
  readonly receivedBytes: number
  readonly totalBytes: number
}

/** Enough for some 50,000 experts. */
const mostIndexBytes = 64 * 2 ** 20
const mostImageBytes = 4 * 2 ** 20

export const fetchFields = {
  maxBytes: integer({ from: 1, default: 4 * 2 ** 30 }),
  allowPrivate: flag(),
  onProgress: unchecked<(progress: FetchProgress) => void>('a function'),
  signal: unchecked<AbortSignal>('an AbortSignal'),
}

/** Published experts, as a registry lists and finds them. */
export interface PublishedLayout {
  readonly name: string
  readonly index: LayoutIndex
  /** The newest version of each expert, or all versions of one. */
  list(id?: string): readonly PublishedExpert[]
  /** `coder`, `coder@^1.2`, `coder@stable`, `coder@sha256:…`. Throws NotFoundError. */
  resolve(reference: string): PublishedExpert
  /** By words and filters. */
  search(query: SearchQuery): readonly SearchResult[]
  /**
   * Searches by the meaning of a question; embeds descriptions that were published without a
   * vector.
   */
  searchByMeaning(
    embedder: Embedder,
    question: string,
    query?: Omit<SearchQuery, 'vector' | 'embedder'>,
    options?: MeaningOptions,
  ): Promise<readonly SearchResult[]>
  /** The list of an expert's files, checked against its content hash; the files are not fetched. */
  listFiles(expert: PublishedExpert): Promise<readonly ImageFile[]>
  /**
   * Fetches an expert's files into a folder. Throws SignatureError if they differ from the
   * published ones.
   */
  fetchInto(folder: string, expert: PublishedExpert): Promise<void>
}

/** Opens what is published in a folder or at an address. Throws NotFoundError, FormatError. */
export async function openPublished(
  location: string,
  options: FetchOptions = {},
): Promise<PublishedLayout> {
  checkOptions('Options of fetching', options, fetchFields)
  const files = openPublishedFiles(location, options)
  const bytes = await collectBytes(files.read(indexFile, mostIndexBytes))
  const index = readLayoutIndex(bytes, `${files.name}: ${indexFile}`)
  const listFiles = (expert: PublishedExpert) => readImageFiles(files, expert, options)
  return {
    name: files.name,
    index,
    list: (id) => listPublished(index, id),
    resolve: (reference) => resolvePublished(index, reference, files.name),
    search: (query) =>
      searchExperts(createSearchIndex(listPublished(index).map(withoutMeaning)), query),
    searchByMeaning: (...given) => searchPublishedByMeaning(index, ...given),
    listFiles,
    fetchInto: async (folder, expert) =>
      fetchFiles(files, await listFiles(expert), folder, options),
  }
}

const withoutMeaning = (expert: PublishedExpert) => Object.assign({}, expert, { vector: undefined })

async function readImageFiles(
  files: PublishedFiles,
  { id, version, hash, image }: PublishedExpert,
  { maxBytes = fetchFields.maxBytes.default }: FetchOptions,
): Promise<readonly ImageFile[]> {
  const name = `${files.name}: ${id}@${version}`
  if (image.sizeBytes > mostImageBytes)
    throw new FormatError(
      `${name}: its list of files has ${image.sizeBytes} bytes, expected at most ${mostImageBytes}.`,
    )
  const chunks = files.read(getBlobPath(image.hash), image.sizeBytes)
  const found = readImage(await collectBytes(checkBytes(chunks, image, name)), name)
  const sizeBytes = found.reduce((sum, file) => sum + file.sizeBytes, 0)
  if (sizeBytes > maxBytes)
    throw new FormatError(
      `${name}: has ${sizeBytes} bytes, and at most ${maxBytes} are allowed. Allow more if you trust who publishes it (--max-bytes; in a program: maxBytes).`,
    )
  await verifyContentHash(found, hash, name)
  return found
}

async function fetchFiles(
  files: PublishedFiles,
  listed: readonly ImageFile[],
  folder: string,
  { onProgress }: FetchOptions,
): Promise<void> {
  const sink = createFileSink(folder)
  const totalBytes = listed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  let receivedBytes = 0
  async function* report(chunks: AsyncIterable<Uint8Array>) {
    for await (const chunk of chunks) {
      receivedBytes += chunk.length
      onProgress?.({ receivedBytes, totalBytes })
      yield chunk
    }
  }
  for (const file of listed) {
    const chunks = files.read(getBlobPath(file.hash), file.sizeBytes)
    const name = `${files.name}: ${file.path}`
    await sink.write(file.path, report(checkBytes(chunks, file, name)))
  }
}

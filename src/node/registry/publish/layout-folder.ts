// Writes an OCI image layout in a folder: blobs under their digests first, the index last and
// atomically. So a reader always finds the old layout or the new one, also after a killed process;
// the next writer removes unused blobs.

import { createHash } from 'node:crypto'
import { readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { FormatError } from '../../../base/errors.ts'
import {
  getBlobPath,
  indexFile,
  layoutFile,
  layoutText,
  listDigests,
} from '../../../registry/publish/descriptor.ts'
import { encodeJson, type ImageFile } from '../../../registry/publish/image.ts'
import {
  emptyIndex,
  encodeLayoutIndex,
  type LayoutIndex,
  readLayoutIndex,
} from '../../../registry/publish/layout-index.ts'
import { readJson } from '../../../registry/publish/read-json.ts'
import { removeAbandoned } from '../../files/atomic-write.ts'
import { createFileSink } from '../../files/file-sink.ts'
import { findErrorCode, toStorageError } from '../../files/system-errors.ts'
import { checkBytes } from './checked-bytes.ts'

/** Names of the blobs that a process is about to write. */
const journalFile = '.publishing.json'

/** The published layout of a folder; undefined if it has none. */
export async function readIndex(folder: string): Promise<LayoutIndex> {
  const bytes = await readExisting(join(folder, indexFile))
  return bytes ? readLayoutIndex(bytes, join(folder, indexFile)) : emptyIndex
}

async function readExisting(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path)
  } catch (cause) {
    if (findErrorCode(cause) === 'ENOENT') return undefined
    throw toStorageError(`${path}: cannot be read`, cause)
  }
}

/** Replaces the index atomically, which completes the publication. */
export async function writeIndex(folder: string, index: LayoutIndex): Promise<void> {
  await createFileSink(folder).write(indexFile, [encodeLayoutIndex(index)])
  await rm(join(folder, journalFile), { force: true })
}

export interface Blob extends Omit<ImageFile, 'path'> {
  open(): AsyncIterable<Uint8Array>
}

export const toBlob = (bytes: Uint8Array): Blob => ({
  hash: createHash('sha256').update(bytes).digest('hex'),
  sizeBytes: bytes.length,
  async *open() {
    yield bytes
  },
})

/** Writes the missing blobs under their digests. */
export async function writeBlobs(folder: string, blobs: readonly Blob[]): Promise<void> {
  const sink = createFileSink(folder)
  const missing: Blob[] = []
  for (const blob of blobs) {
    const there = await stat(join(folder, getBlobPath(blob.hash))).catch(() => undefined)
    if (there?.size !== blob.sizeBytes) missing.push(blob)
  }
  await sink.write(journalFile, [encodeJson(missing.map(({ hash }) => hash))])
  if (!(await readExisting(join(folder, layoutFile))))
    await sink.write(layoutFile, [new TextEncoder().encode(layoutText)])
  try {
    for (const blob of missing) {
      const path = getBlobPath(blob.hash)
      await sink.write(path, checkBytes(blob.open(), blob, join(folder, path)))
    }
  } catch (error) {
    await removeUnfinished(folder)
    throw error
  }
}

/** Replaces the index by one without some images, and removes the blobs that only they had. */
export async function dropFromIndex(
  folder: string,
  index: LayoutIndex,
  images: readonly string[],
): Promise<void> {
  const hashes = new Set<string>()
  for (const image of images) {
    hashes.add(image)
    const bytes = await readExisting(join(folder, getBlobPath(image)))
    for (const hash of bytes ? listDigests(readJson(bytes, image)) : []) hashes.add(hash)
  }
  const sink = createFileSink(folder)
  await sink.write(journalFile, [encodeJson([...hashes])])
  await sink.write(indexFile, [encodeLayoutIndex(index)])
  await removeUnfinished(folder)
}

/** Removes the blobs that a process began to write, unless the index needs them. */
export async function removeUnfinished(folder: string): Promise<void> {
  const journal = await readExisting(join(folder, journalFile))
  if (!journal) return
  const hashes = readJournal(journal)
  const needed = await listNeededBlobs(folder)
  for (const hash of hashes) {
    const path = join(folder, getBlobPath(hash))
    if (!needed.has(hash)) await rm(path, { force: true })
    await removeAbandoned(dirname(path), hash)
  }
  await removeAbandoned(folder, indexFile)
  await rm(join(folder, journalFile), { force: true })
}

function readJournal(bytes: Uint8Array): string[] {
  const value: unknown = readJson(bytes, journalFile)
  if (Array.isArray(value) && value.every((hash) => /^[0-9a-f]{64}$/.test(String(hash))))
    return value as string[]
  throw new FormatError(`${journalFile}: is not a list of blobs. Remove it to continue.`)
}

/** The blobs of every image in the index: its manifest, its configuration and its layers. */
export async function listNeededBlobs(folder: string): Promise<Set<string>> {
  const { experts, others } = await readIndex(folder)
  const needed = new Set<string>()
  const images = [
    ...experts.flatMap(({ image, plain }) => [image.hash, ...(plain ? [plain.hash] : [])]),
    ...others.flatMap((entry) => listDigests(entry)),
  ]
  for (const hash of images) {
    if (needed.has(hash)) continue
    needed.add(hash)
    const bytes = await readExisting(join(folder, getBlobPath(hash)))
    for (const digest of bytes ? listDigests(readJson(bytes, hash)) : []) needed.add(digest)
  }
  return needed
}

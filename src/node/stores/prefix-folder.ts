// Prefixes saved in a folder: a file for each block of keys and values, named by its key. The
// folder is bounded in bytes, writes are atomic, and a damaged file is removed and counts as a
// miss.

import { readFileSync, rmSync } from 'node:fs'
import { readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { checkOptions, integer, type OptionFields, unchecked } from '../../base/schema.ts'
import type { SavedPrefixes } from '../../runtime/engine/kv/kv-types.ts'
import { isProcessGone } from '../files/atomic-write.ts'
import { makeDirectory } from '../files/make-directory.ts'
import { toStorageError } from '../files/system-errors.ts'

export interface PrefixFolderOptions {
  /** Most bytes of all files; the least recently used are removed first. */
  readonly maxBytes: number
  /** Called if a block could not be written; answers do not depend on it. */
  readonly onProblem?: (problem: Error) => void
}

const fields: OptionFields<PrefixFolderOptions> = {
  maxBytes: integer({ from: 0, about: 'Bytes of all files together.' }),
  onProblem: unchecked<(problem: Error) => void>('a function'),
}

/** Opens or creates the folder. Throws StorageError if that fails. */
export async function openPrefixFolder(
  path: string,
  options: PrefixFolderOptions,
): Promise<PrefixFolder> {
  checkOptions(`Saved prefixes in ${path}`, options, fields)
  try {
    await makeDirectory(path)
    const files = await listBlocks(path)
    const opened = new PrefixFolder(path, options, files)
    opened.makeRoom(0)
    return opened
  } catch (error) {
    throw toStorageError(`Saved prefixes in ${path}`, error)
  }
}

const SUFFIX = '.kv'
const TEMPORARY = /\.(\d+)\.tmp$/
const isKey = (key: string): boolean => /^([0-9a-f]{16}-)?[0-9a-f]{64}$/.test(key)

/**
 * Key → bytes of its file, least recently used first. Removes incomplete files of killed processes.
 */
async function listBlocks(path: string): Promise<Map<string, number>> {
  const found: { key: string; size: number; usedMs: number }[] = []
  for (const name of await readdir(path)) {
    const writer = TEMPORARY.exec(name)?.[1]
    // A writer of this process's number was an earlier process.
    if (writer !== undefined && (Number(writer) === process.pid || isProcessGone(Number(writer))))
      await rm(join(path, name), { force: true })
    const key = name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : ''
    if (!isKey(key)) continue
    const info = await stat(join(path, name)).catch(() => undefined) // another process removed it
    if (info) found.push({ key, size: info.size, usedMs: info.mtimeMs })
  }
  found.sort((a, b) => a.usedMs - b.usedMs)
  return new Map(found.map(({ key, size }) => [key, size]))
}

const HEADER_BYTES = 16
const MAGIC = 'graft-kv'

/** 'graft-kv', CRC-32 and length, then the block. */
function encodeBlock(bytes: Uint8Array): Buffer {
  const file = Buffer.allocUnsafe(HEADER_BYTES + bytes.length)
  file.write(MAGIC, 'latin1')
  file.writeUInt32LE(crc32(bytes), 8)
  file.writeUInt32LE(bytes.length, 12)
  file.set(bytes, HEADER_BYTES)
  return file
}

/** Undefined if the file is not what was written. */
function decodeBlock(file: Buffer): Uint8Array | undefined {
  if (file.length < HEADER_BYTES || file.toString('latin1', 0, 8) !== MAGIC) return undefined
  const bytes = file.subarray(HEADER_BYTES)
  const isWhole = file.readUInt32LE(12) === bytes.length && file.readUInt32LE(8) === crc32(bytes)
  return isWhole ? bytes : undefined
}

export class PrefixFolder implements SavedPrefixes {
  readonly #path: string
  readonly #options: PrefixFolderOptions
  readonly #files: Map<string, number> // key → bytes, the longest unused first
  readonly #queue = new Map<string, () => Uint8Array | undefined>()
  #sizeBytes: number
  #working: Promise<void> | undefined

  constructor(path: string, options: PrefixFolderOptions, files: Map<string, number>) {
    this.#path = path
    this.#options = options
    this.#files = files
    this.#sizeBytes = [...files.values()].reduce((sum, size) => sum + size, 0)
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }
  get count(): number {
    return this.#files.size
  }

  has(key: string): boolean {
    return this.#files.has(key)
  }

  read(key: string): Uint8Array | undefined {
    if (!this.#files.has(key)) return undefined
    const bytes = this.#readFile(key)
    if (!bytes) this.#remove(key)
    return bytes
  }

  touch(keys: readonly string[]): void {
    const nowMs = Date.now()
    for (const [at, key] of [...keys.entries()].toReversed()) {
      const size = this.#files.get(key)
      if (size === undefined) continue
      this.#files.delete(key)
      this.#files.set(key, size)
      const seconds = (nowMs - at) / 1000
      utimes(this.#pathOf(key), seconds, seconds).catch(() => undefined) // gone: a later miss
    }
  }

  save(key: string, take: () => Uint8Array | undefined): void {
    if (!isKey(key) || this.#files.has(key)) return
    this.#queue.set(key, take)
    this.#working ??= this.#work()
  }

  async forget(mark: string): Promise<void> {
    for (const key of this.#queue.keys()) if (key.startsWith(mark)) this.#queue.delete(key)
    await this.#working // one may be being written
    for (const key of this.#files.keys()) if (key.startsWith(mark)) this.#remove(key)
  }

  async flush(): Promise<void> {
    await this.#working
  }

  /** Removes the least recently used blocks until `bytes` more fit. */
  makeRoom(bytes: number): void {
    for (const key of this.#files.keys()) {
      if (this.#sizeBytes + bytes <= this.#options.maxBytes) return
      this.#remove(key)
    }
  }

  /** Writes queued blocks one after another. */
  async #work(): Promise<void> {
    await undefined // the caller continues first
    for (const [key, take] of this.#queue) {
      this.#queue.delete(key)
      const bytes = take()
      if (!bytes || HEADER_BYTES + bytes.length > this.#options.maxBytes) continue
      try {
        await this.#write(key, encodeBlock(bytes))
      } catch (error) {
        this.#options.onProblem?.(toStorageError(`Saved prefixes in ${this.#path}`, error))
      }
    }
    this.#working = undefined
  }

  async #write(key: string, file: Buffer): Promise<void> {
    this.makeRoom(file.length)
    const temporary = `${this.#pathOf(key)}.${process.pid}.tmp`
    try {
      await writeFile(temporary, file)
      await rename(temporary, this.#pathOf(key))
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined) // the first error counts
      throw error
    }
    this.#files.set(key, file.length)
    this.#sizeBytes += file.length
  }

  #readFile(key: string): Uint8Array | undefined {
    try {
      return decodeBlock(readFileSync(this.#pathOf(key)))
    } catch {
      return undefined // an unreadable file counts as missing
    }
  }

  #remove(key: string): void {
    this.#sizeBytes -= this.#files.get(key) ?? 0
    this.#files.delete(key)
    try {
      rmSync(this.#pathOf(key), { force: true })
    } catch (error) {
      this.#options.onProblem?.(toStorageError(`Saved prefixes in ${this.#path}`, error))
    }
  }

  #pathOf(key: string): string {
    return join(this.#path, `${key}${SUFFIX}`)
  }
}

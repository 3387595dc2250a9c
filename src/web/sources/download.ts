// Downloads files into OPFS once. An interrupted download resumes after its last complete piece.

import { FormatError, NotFoundError, StorageError } from '../../base/errors.ts'
import { Sha256Stream } from '../../base/sha256-stream.ts'
import { toBrowserStorageError } from '../stores/storage-errors.ts'
import { checkFreeSpace } from './free-space.ts'
import {
  absentName,
  begunName,
  encodeJson,
  type FileFacts,
  type KeptFile,
  pieceBytes,
  readJson,
  readPieces,
  readWhole,
  rootName,
  toFolderName,
  toPieceName,
  wholeName,
} from './kept-files.ts'
import { openOpfsRoot, removeEntries, writeHandle } from './opfs.ts'
import { HtmlError, readAnswerSize, readFileVersion, requestFile } from './request.ts'

/** Most consecutive responses without new bytes. */
const fruitlessAttempts = 3

export interface WebFetchProgress {
  /** The name of the file that is downloaded. */
  readonly file: string
  readonly receivedBytes: number
  readonly totalBytes: number | undefined
}

export interface FetchFileOptions {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: WebFetchProgress) => void) | undefined
  /** The file's expected SHA-256, in hexadecimal. */
  readonly sha256?: string | undefined
  /**
   * Called before a file is downloaded, if the server sends its size. An error ends the call, and
   * nothing is kept.
   */
  readonly admit?: ((url: string, sizeBytes: number) => Promise<void>) | undefined
}

/**
 * The file of a URL, from OPFS or downloaded into it; undefined if the server has none. Tabs that
 * need the same file download it once. Throws StorageError if it cannot be fetched or kept,
 * FormatError for an HTML page and for a wrong SHA-256; nothing is kept then.
 */
export async function downloadFile(
  url: string,
  options: FetchFileOptions = {},
): Promise<KeptFile | undefined> {
  const root = await openOpfsRoot()
  const run = async (): Promise<KeptFile | undefined> => {
    const all = await root.getDirectoryHandle(rootName, { create: true })
    const name = toFolderName(url)
    const folder = await all.getDirectoryHandle(name, { create: true })
    const kept = await readWhole(folder)
    if (kept && (options.sha256 ?? kept.sha256) === kept.sha256) return kept
    const download = new Download(url, folder, options)
    try {
      if (await download.run()) return await readWhole(folder)
      await download.recordAbsence()
      return undefined
    } catch (error) {
      if (error instanceof HtmlError) await download.recordAbsence()
      if (!download.mayGoOn) await removeEntries(all, [name]).catch(() => undefined)
      throw error
    }
  }
  const { signal } = options
  if (!navigator.locks) return run()
  return navigator.locks.request(`graft-download:${url}`, signal ? { signal } : {}, run)
}

/** The download of one file into its folder. */
class Download {
  readonly #url: string
  readonly #folder: FileSystemDirectoryHandle
  readonly #options: FetchFileOptions
  #hash = new Sha256Stream()
  /** The number of complete pieces that are written. */
  #pieces = 0
  /** The piece that is being filled. */
  readonly #piece = new Uint8Array(pieceBytes)
  #filled = 0
  #facts: FileFacts | undefined
  /** Whether a later call can continue from the stored pieces. */
  mayGoOn = true

  constructor(url: string, folder: FileSystemDirectoryHandle, options: FetchFileOptions) {
    this.#url = url
    this.#folder = folder
    this.#options = options
  }

  get #receivedBytes(): number {
    return this.#pieces * pieceBytes + this.#filled
  }

  /** False if the server has no such file. */
  async run(): Promise<boolean> {
    await this.#takeUp()
    for (let fruitless = 0; ;) {
      const before = this.#receivedBytes
      const response = await this.#request()
      if (!response) return false
      const cut = response.status === 416 ? undefined : await this.#takeBody(response)
      this.#options.signal?.throwIfAborted()
      const total = this.#facts?.sizeBytes ?? (cut ? undefined : this.#receivedBytes)
      if (total !== undefined && this.#receivedBytes === total) return this.#finish()
      fruitless = this.#receivedBytes > before ? 0 : fruitless + 1
      if (fruitless < fruitlessAttempts) continue
      throw new StorageError(
        `${this.#url}: ${this.#receivedBytes} of ${total ?? 'an unknown number of'} bytes were received before the connection broke. They are kept: load it again to resume.`,
        { cause: cut },
      )
    }
  }

  /** Continues from the pieces of an earlier call. */
  async #takeUp(): Promise<void> {
    const begun = await readJson<FileFacts>(this.#folder, begunName)
    const pieces = (await readPieces(this.#folder)).filter(({ size }) => size === pieceBytes)
    if (!begun || pieces.length === 0) return this.#startAnew()
    for (const piece of pieces) this.#hash.update(new Uint8Array(await piece.arrayBuffer()))
    this.#pieces = pieces.length
    this.#facts = begun
  }

  async #startAnew(): Promise<void> {
    const names: string[] = []
    // The record of an absent file is kept until the file is downloaded, because the network may be
    // unavailable now.
    for await (const name of this.#folder.keys()) if (name !== absentName) names.push(name)
    await removeEntries(this.#folder, names)
    this.#hash = new Sha256Stream()
    this.#pieces = 0
    this.#filled = 0
    this.#facts = undefined
  }

  /** Records that the file is absent, for later use without network. */
  async recordAbsence(): Promise<void> {
    await this.#startAnew()
    await this.#write(absentName, [])
  }

  /** A response that continues the stored pieces. */
  async #request(): Promise<Response | undefined> {
    const from = this.#receivedBytes
    const { signal } = this.#options
    const range = from > 0 ? { from, signal } : { signal }
    const response = await requestFile(this.#url, range)
    if (!response) return undefined
    const { totalBytes, from: at } = readAnswerSize(response, range)
    const version = readFileVersion(response)
    const isOther =
      from > 0 &&
      (response.status === 416 ||
        at !== from ||
        version !== this.#facts?.version ||
        (totalBytes !== undefined && totalBytes !== this.#facts?.sizeBytes))
    if (isOther) await this.#startAnew()
    if (isOther && at !== 0) {
      await response.body?.cancel()
      return this.#request()
    }
    if (isOther && response.status === 416) {
      await response.body?.cancel()
      return this.#request()
    }
    if (!this.#facts)
      try {
        await this.#begin({ url: this.#url, sizeBytes: totalBytes, version })
      } catch (error) {
        void response.body?.cancel()
        throw error
      }
    return response
  }

  async #begin(facts: FileFacts): Promise<void> {
    await removeEntries(this.#folder, [absentName])
    this.mayGoOn = false
    if (facts.sizeBytes !== undefined) await this.#options.admit?.(facts.url, facts.sizeBytes)
    this.mayGoOn = true
    await checkFreeSpace(this.#url, facts.sizeBytes)
    this.#facts = facts
    await this.#write(begunName, encodeJson(facts))
  }

  /** Why the body ended early; undefined if it is complete. */
  async #takeBody(response: Response): Promise<unknown> {
    const reader = response.body!.getReader()
    const { onProgress } = this.#options
    const file = decodeURIComponent(new URL(this.#url).pathname.split('/').at(-1)!)
    for (;;) {
      let value: Uint8Array | undefined
      try {
        const read = await reader.read()
        value = read.value
        if (read.done) return undefined
      } catch (cause) {
        return cause
      }
      await this.#take(value!)
      onProgress?.({
        file,
        receivedBytes: this.#receivedBytes,
        totalBytes: this.#facts?.sizeBytes,
      })
    }
  }

  async #take(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes)
    for (let at = 0; at < bytes.length;) {
      const length = Math.min(bytes.length - at, pieceBytes - this.#filled)
      this.#piece.set(bytes.subarray(at, at + length), this.#filled)
      this.#filled += length
      at += length
      if (this.#filled === pieceBytes) await this.#writePiece()
    }
  }

  async #writePiece(): Promise<void> {
    await this.#write(toPieceName(this.#pieces), [this.#piece.subarray(0, this.#filled)])
    this.#pieces++
    this.#filled = 0
  }

  async #finish(): Promise<boolean> {
    const { sha256: expected } = this.#options
    const sizeBytes = this.#receivedBytes
    const sha256 = this.#hash.finish()
    if (expected !== undefined && expected !== sha256) {
      this.mayGoOn = false
      throw new FormatError(
        `${this.#url}: its SHA-256 is ${sha256}, expected ${expected}. It is another file, or was changed on its way; nothing of it was kept.`,
      )
    }
    if (this.#filled > 0) await this.#writePiece()
    const { url, version } = this.#facts!
    await this.#write(wholeName, encodeJson({ url, version, sizeBytes, sha256 }))
    await removeEntries(this.#folder, [begunName, absentName])
    return true
  }

  async #write(name: string, chunks: Uint8Array[]): Promise<void> {
    try {
      await writeHandle(await this.#folder.getFileHandle(name, { create: true }), chunks)
    } catch (cause) {
      // The stored pieces take space that the user may need now.
      this.mayGoOn = false
      throw toBrowserStorageError(`${this.#url}: cannot be kept, nothing of it was`, cause)
    }
  }
}

/** Throws NotFoundError if there was no file. */
export function requireFile<File>(file: File | undefined, url: string): File {
  if (file) return file
  throw new NotFoundError(`${url}: the server has no such file (status 404).`)
}

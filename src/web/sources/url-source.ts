// A URL as a byte source: reads parts by range requests of some MB; loads the whole file into
// memory if the server does not support ranges.

import { NotFoundError, StorageError } from '../../base/errors.ts'
import type { ByteFolder, ByteSource } from '../../formats/byte-source.ts'
import { createMemorySource } from '../../formats/memory-source.ts'
import { checkReach } from './blob-source.ts'
import { HtmlError, readAnswerSize, readFileVersion, requestFile } from './request.ts'

/**
 * Bytes of one request. A model's tensors are read one after the other, and most of them are small.
 */
const runBytes = 4 << 20
/** How many runs are kept, because readers return to earlier positions. */
const keptRuns = 4
const attempts = 3

export interface UrlSourceOptions {
  readonly signal?: AbortSignal | undefined
}

/** Undefined if the server has no such file. Throws StorageError, FormatError. */
export async function openUrlSource(
  url: string,
  { signal }: UrlSourceOptions = {},
): Promise<ByteSource | undefined> {
  const first = await requestFile(url, { from: 0, signal })
  if (!first) return undefined
  if (first.status === 416) {
    // An empty file has no byte 0.
    await first.body?.cancel()
    return createMemorySource(url, new Uint8Array(0))
  }
  const { totalBytes } = readAnswerSize(first, { from: 0 })
  if (first.status !== 206 || totalBytes === undefined)
    return createMemorySource(url, await readWhole(url, first, totalBytes))
  const start = await readStart(first, Math.min(runBytes, totalBytes))
  return new RunSource(url, totalBytes, readFileVersion(first), start, signal)
}

async function readWhole(
  url: string,
  response: Response,
  totalBytes: number | undefined,
): Promise<Uint8Array> {
  const bytes = await response.arrayBuffer().catch((cause: unknown) => {
    throw new StorageError(`${url}: the answer was cut off. Try again.`, { cause })
  })
  if (totalBytes !== undefined && bytes.byteLength !== totalBytes)
    throw new StorageError(`${url}: got ${bytes.byteLength} of ${totalBytes} bytes. Try again.`)
  return new Uint8Array(bytes)
}

/** The first bytes of a response, without waiting for the rest; fewer if it was cut off. */
async function readStart(response: Response, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  const reader = response.body!.getReader()
  let received = 0
  try {
    while (received < length) {
      const { done, value } = await reader.read()
      if (done) break
      bytes.set(value.subarray(0, length - received), received)
      received += Math.min(value.length, length - received)
    }
  } catch {
    // missing bytes are requested again
  }
  await reader.cancel().catch(() => undefined)
  return bytes.subarray(0, received)
}

class RunSource implements ByteSource {
  readonly name: string
  readonly sizeBytes: number
  readonly #version: string | undefined
  readonly #signal: AbortSignal | undefined
  /** By number, the most recently used last. */
  readonly #runs = new Map<number, Promise<Uint8Array>>()

  constructor(
    url: string,
    sizeBytes: number,
    version: string | undefined,
    start: Uint8Array,
    signal: AbortSignal | undefined,
  ) {
    this.name = url
    this.sizeBytes = sizeBytes
    this.#version = version
    this.#signal = signal
    if (start.length === Math.min(runBytes, sizeBytes)) this.#runs.set(0, Promise.resolve(start))
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkReach(this.name, this.sizeBytes, offset, length)
    const bytes = new Uint8Array(length)
    if (length === 0) return bytes
    const first = Math.floor(offset / runBytes)
    const last = Math.floor((offset + length - 1) / runBytes)
    for (let run = first; run <= last; run++) {
      const kept = this.#runs.get(run)
      // Consecutive runs that were not requested yet are one request.
      const end = kept ? run : this.#findGapEnd(run, last)
      const from = run * runBytes
      const found = kept ? await this.#use(run, kept) : await this.#fetchRuns(run, end)
      const begin = Math.max(offset, from)
      const until = Math.min(offset + length, from + found.length)
      bytes.set(found.subarray(begin - from, until - from), begin - offset)
      run = end
    }
    return bytes
  }

  #findGapEnd(run: number, last: number): number {
    let end = run
    while (end < last && !this.#runs.has(end + 1)) end++
    return end
  }

  #use(run: number, kept: Promise<Uint8Array>): Promise<Uint8Array> {
    this.#runs.delete(run)
    this.#runs.set(run, kept)
    return kept
  }

  /**
   * Fetches these runs in one request, and keeps the last one, because the next read may begin in
   * it.
   */
  async #fetchRuns(first: number, last: number): Promise<Uint8Array> {
    const from = first * runBytes
    const to = Math.min((last + 1) * runBytes, this.sizeBytes) - 1
    const fetched = this.#fetch(from, to)
    const kept = fetched.then((bytes) => bytes.subarray((last - first) * runBytes))
    kept.catch(() => this.#runs.delete(last))
    this.#runs.set(last, kept)
    for (const oldest of this.#runs.keys())
      if (this.#runs.size > keptRuns) this.#runs.delete(oldest)
    return fetched
  }

  async #fetch(from: number, to: number): Promise<Uint8Array> {
    const wanted = to - from + 1
    const bytes = new Uint8Array(wanted)
    let received = 0
    for (let attempt = 1; ; attempt++) {
      const range = { from: from + received, to, signal: this.#signal }
      const response = await requestFile(this.name, range)
      this.#checkSame(response, range)
      const part = await readStart(response!, wanted - received)
      this.#signal?.throwIfAborted()
      bytes.set(part, received)
      received += part.length
      if (received === wanted) return bytes
      if (attempt >= attempts)
        throw new StorageError(
          `${this.name}: asked for ${wanted} bytes at ${from} and got ${received}. Try again.`,
        )
    }
  }

  /** Throws StorageError if the file on the server has changed. */
  #checkSame(
    response: Response | undefined,
    range: { readonly from: number; readonly to: number },
  ): asserts response is Response {
    const size = response && readAnswerSize(response, range)
    const version = response && readFileVersion(response)
    const isSame =
      response?.status === 206 &&
      size!.from === range.from &&
      (size!.totalBytes ?? this.sizeBytes) === this.sizeBytes &&
      version === this.#version
    if (isSame) return
    void response?.body?.cancel()
    throw new StorageError(
      `${this.name}: the file changed on the server while it was read (it had ${this.sizeBytes} bytes). Load it again.`,
    )
  }
}

/** Files that every model or adapter folder has. */
export const isNeededFile = (path: string): boolean => /^(adapter_)?config\.json$/.test(path)

/**
 * The files below a URL as a folder. An HTML page instead of an optional file counts as no file,
 * because servers of single-page sites answer every path with their page.
 */
export function createUrlFolder(
  base: string,
  open: (url: string) => Promise<ByteSource | undefined>,
): ByteFolder {
  const name = base.replace(/\/$/, '')
  return {
    name,
    async open(path) {
      try {
        return await open(toInnerUrl(base, path))
      } catch (error) {
        if (error instanceof HtmlError && !isNeededFile(path)) return undefined
        throw error
      }
    },
  }
}

/** Keeps the query of the base, which may hold a token. */
function toInnerUrl(base: string, path: string): string {
  const folder = new URL(base)
  const url = new URL(path.split('/').map(encodeURIComponent).join('/'), folder)
  if (!url.href.startsWith(folder.origin + folder.pathname))
    throw new NotFoundError(`${base}: the file name ${JSON.stringify(path)} leads out of it.`)
  url.search = folder.search
  return url.href
}

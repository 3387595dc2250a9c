// Fetches one URL into one file: with progress, resumed after interruptions, checked, and renamed
// into place when complete.

import { open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FormatError, GraftError, NotFoundError } from '../../base/errors.ts'
import { computeFileSha256 } from './checksum.ts'
import { makeDirectory } from '../files/make-directory.ts'
import { describeError, toStorageError } from '../files/system-errors.ts'

export interface DownloadProgress {
  readonly receivedBytes: number
  readonly totalBytes: number | undefined
}

export interface DownloadOptions {
  readonly sha256?: string | undefined
  readonly sizeBytes?: number | undefined
  readonly headers?: Readonly<Record<string, string>>
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined
  readonly signal?: AbortSignal
  /** Until response headers arrive; default 3 s. */
  readonly connectTimeoutMs?: number
  /** Between two pieces of the body; default 30 s. */
  readonly stallTimeoutMs?: number
  readonly fetch?: typeof fetch
}

/**
 * Fetches `url` into `path`. What has arrived stays in `<path>.part` and is resumed by the next
 * call where a checksum is known. Throws NotFoundError if the server cannot be reached or refuses,
 * FormatError if size or SHA-256 differ (the part is removed), StorageError if the disk refuses.
 */
export async function download(
  url: string,
  path: string,
  options: DownloadOptions = {},
): Promise<void> {
  const part = `${path}.part`
  await makeDirectory(dirname(path)).catch((cause: unknown) => {
    throw toStorageError(`${dirname(path)}: cannot be created`, cause)
  })
  await receiveAll(url, part, options)
  await checkDownload(url, part, options)
  await rename(part, path).catch((cause: unknown) => {
    throw toStorageError(`${path}: cannot be written`, cause)
  })
}

/**
 * `fetch` that gives up when no response headers have arrived in time, and names the reason. The
 * body may take longer.
 */
export async function fetchWithin(
  timeoutMs: number,
  url: string,
  init: RequestInit = {},
  fetcher: typeof fetch = fetch,
): Promise<Response> {
  const timer = new AbortController()
  const timeout = setTimeout(
    () => timer.abort(new Error(`no answer within ${timeoutMs / 1000} s`)),
    timeoutMs,
  )
  const signal = init.signal ? AbortSignal.any([init.signal, timer.signal]) : timer.signal
  try {
    return await fetcher(url, { ...init, signal })
  } catch (cause) {
    init.signal?.throwIfAborted()
    const reason = timer.signal.aborted ? timer.signal.reason : cause
    throw new NotFoundError(`${url.split('?')[0]} cannot be reached: ${describeError(reason)}.`, {
      cause: reason,
    })
  } finally {
    clearTimeout(timeout)
  }
}

/**
 * Receives until the part is complete; reconnects as long as every broken connection has delivered
 * some bytes.
 */
async function receiveAll(url: string, part: string, options: DownloadOptions): Promise<void> {
  // Without a checksum an old part might belong to another version of the file.
  if (options.sha256 === undefined) await rm(part, { force: true })
  for (let before = await readSize(part); ;) {
    try {
      return await receive(url, part, before, options)
    } catch (error) {
      options.signal?.throwIfAborted()
      const after = await readSize(part)
      if (GraftError.isInstance(error) || after <= before)
        throw toConnectionError(error, url, after)
      before = after
    }
  }
}

function toConnectionError(error: unknown, url: string, received: number): unknown {
  if (GraftError.isInstance(error)) return error
  return new NotFoundError(
    `${url}: the connection broke after ${received} bytes: ${describeError(error)}. Run it again to resume from there.`,
    {
      cause: error,
    },
  )
}

async function receive(
  url: string,
  part: string,
  start: number,
  options: DownloadOptions,
): Promise<void> {
  const { sizeBytes, onProgress } = options
  if (start > 0 && start === sizeBytes) return
  const init: RequestInit = {
    headers: { ...options.headers, ...(start > 0 && { range: `bytes=${start}-` }) },
  }
  if (options.signal) init.signal = options.signal
  const response = await fetchWithin(options.connectTimeoutMs ?? 3_000, url, init, options.fetch)
  if (response.status === 416 && start > 0) {
    await response.body?.cancel()
    await rm(part, { force: true }) // the part is longer than the file: it was of another version
    return receive(url, part, 0, options)
  }
  if (!response.ok || !response.body)
    throw new NotFoundError(
      `${url}: the server answered ${response.status} ${response.statusText}.`,
    )
  // a server may ignore the range and send everything
  const from = response.status === 206 ? start : 0
  const length = response.headers.get('content-encoding')
    ? null
    : response.headers.get('content-length')
  const totalBytes = sizeBytes ?? (length === null ? undefined : from + Number(length))
  const received = await append(
    part,
    from,
    withStallTimeout(response.body, options.stallTimeoutMs ?? 30_000),
    (receivedBytes) => onProgress?.({ receivedBytes, totalBytes }),
  )
  if (totalBytes !== undefined && received < totalBytes)
    throw new Error(`got ${received} of ${totalBytes} bytes`)
}

/** Appends the body after the first `from` bytes of the part; returns the part's length. */
async function append(
  part: string,
  from: number,
  body: AsyncIterable<Uint8Array>,
  onBytes: (received: number) => void,
): Promise<number> {
  const file = await wrapStorageErrors(part, () => open(part, from > 0 ? 'r+' : 'w'))
  let position = from
  try {
    onBytes(position)
    for await (const chunk of body) {
      for (let done = 0; done < chunk.length;) {
        const { bytesWritten } = await wrapStorageErrors(part, () =>
          file.write(chunk, done, chunk.length - done, position),
        )
        done += bytesWritten
        position += bytesWritten
      }
      onBytes(position)
    }
    await wrapStorageErrors(part, () => file.sync())
  } finally {
    await file.close()
  }
  return position
}

async function* withStallTimeout(
  body: ReadableStream<Uint8Array>,
  timeoutMs: number,
): AsyncGenerator<Uint8Array> {
  const reader = body.getReader()
  try {
    for (;;) {
      const { promise: stalled, reject } = Promise.withResolvers<never>()
      const timeout = setTimeout(
        () => reject(new Error(`nothing arrived for ${timeoutMs / 1000} s`)),
        timeoutMs,
      )
      const { done, value } = await Promise.race([reader.read(), stalled]).finally(() =>
        clearTimeout(timeout),
      )
      if (done) return
      yield value
    }
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

/**
 * Compares size and checksum of the whole part; removes it where they differ, because resuming
 * could not repair it.
 */
async function checkDownload(
  url: string,
  part: string,
  { sizeBytes, sha256 }: DownloadOptions,
): Promise<void> {
  const size = await readSize(part)
  const problems =
    sizeBytes !== undefined && size !== sizeBytes
      ? [`size: got ${size}, expected ${sizeBytes}`]
      : []
  if (sha256 !== undefined && problems.length === 0) {
    const got = await computeFileSha256(part)
    if (got !== sha256) problems.push(`SHA-256: got ${got}, expected ${sha256}`)
  }
  if (problems.length === 0) return
  await rm(part, { force: true })
  throw new FormatError(
    `${url}: what arrived is not the file that was asked for (${problems.join('; ')}). It was removed; fetch it again.`,
  )
}

const readSize = async (path: string): Promise<number> =>
  (await stat(path).catch(() => undefined))?.size ?? 0

async function wrapStorageErrors<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw toStorageError(`${path}: cannot be written`, cause)
  }
}

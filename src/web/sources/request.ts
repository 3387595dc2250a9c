// Requests for files, whose failures become Graft's errors. Independent of the files' contents.

import { FormatError, NotFoundError, StorageError } from '../../base/errors.ts'

export interface FileRequest {
  /** The first byte to request; the response may contain the whole file. */
  readonly from?: number
  /** The last byte to request. */
  readonly to?: number
  readonly signal?: AbortSignal | undefined
}

const isOffline = (): boolean => navigator.onLine === false

/** The error for a request that no server answered. Browsers only report that it failed. */
function createUnreachable(url: string, cause: unknown): UnreachableError {
  const foreign = new URL(url).origin !== globalThis.location?.origin
  const reason = isOffline()
    ? 'this device is offline'
    : foreign
      ? 'the server cannot be reached, or does not let this site read from it: it must send the header Access-Control-Allow-Origin (CORS). Serve the file from this site, or choose it as a file'
      : 'the server cannot be reached'
  return new UnreachableError(`${url}: cannot be fetched: ${reason}.`, { cause })
}

/**
 * Asks for a file or a part of it. Undefined if there is none. Throws StorageError if the server
 * cannot be reached or fails, FormatError for an HTML page.
 */
export async function requestFile(
  url: string,
  { from, to, signal }: FileRequest = {},
): Promise<Response | undefined> {
  const headers: Record<string, string> = {}
  if (from !== undefined) headers['range'] = `bytes=${from}-${to ?? ''}`
  let response: Response
  try {
    // The browser's own cache would store large files twice, and could return parts of an older
    // version.
    response = await fetch(url, { headers, cache: 'no-store', signal: signal ?? null })
  } catch (cause) {
    signal?.throwIfAborted()
    throw createUnreachable(url, cause)
  }
  const { status } = response
  if (status === 404 || status === 410) return undefined
  if (status === 401 || status === 403)
    throw new NotFoundError(`${url}: the server refuses it (status ${status}). Is it public?`)
  if (!response.ok && status !== 416)
    throw new StorageError(
      `${url}: the server answered ${status} ${response.statusText}`.trim() + '.',
    )
  if (isHtml(response) && !/\.html?$/.test(new URL(url).pathname)) {
    await response.body?.cancel()
    throw new HtmlError(
      `${url}: the server sends an HTML page in place of the file. Many servers do that for names that they do not have: check the address.`,
    )
  }
  return response
}

/** No server answered. */
export class UnreachableError extends StorageError {
  override get name(): string {
    return 'StorageError'
  }
}

/** The response is an HTML page instead of a file. */
export class HtmlError extends FormatError {
  override get name(): string {
    return 'FormatError'
  }
}

const isHtml = ({ headers }: Response): boolean =>
  /^text\/html\b/i.test(headers.get('content-type') ?? '')

export interface AnswerSize {
  /** The offset of the body in the file. */
  readonly from: number
  /** The size of the whole file; undefined if the server does not send it. */
  readonly totalBytes: number | undefined
}

/**
 * The part of the file in a response. Only some servers let other sites read content-range;
 * otherwise the length of a response from some byte to the end gives the size.
 */
export function readAnswerSize(
  { status, headers }: Response,
  { from = 0, to }: FileRequest,
): AnswerSize {
  const length = headers.get('content-encoding')
    ? NaN
    : Number(headers.get('content-length') ?? NaN)
  const known = (bytes: number): number | undefined => (Number.isFinite(bytes) ? bytes : undefined)
  if (status !== 206) return { from: 0, totalBytes: known(length) }
  const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(headers.get('content-range') ?? '')
  if (range) return { from: Number(range[1]), totalBytes: Number(range[2]) }
  return { from, totalBytes: to === undefined ? known(from + length) : undefined }
}

/** Identifies the version of a file on a server. */
export const readFileVersion = ({ headers }: Response): string | undefined =>
  headers.get('etag') ?? headers.get('last-modified') ?? undefined

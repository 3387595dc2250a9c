// Errors as responses in OpenAI's shape: { error: { message, type, param, code } }, all four
// present. Every class of base/errors.ts has a status.

import { GraftError } from '../base/errors.ts'
import { RequestError } from './request-error.ts'

/** OpenAI's error object; `param` and `code` may be null. */
export interface ErrorBody {
  readonly error: {
    readonly message: string
    readonly type: string
    readonly param: string | null
    readonly code: string | null
    readonly [detail: string]: string | number | null
  }
}

interface ErrorForm {
  readonly status: number
  readonly type?: string
  readonly code?: string
}

/**
 * By name, because an error from a worker has the name of its class and not always its prototype.
 */
const forms: Readonly<Record<string, ErrorForm>> = {
  ContextLengthError: {
    status: 400,
    type: 'exceed_context_size_error',
    code: 'context_length_exceeded',
  },
  NotFoundError: { status: 404, code: 'not_found' },
  ConflictError: { status: 409, code: 'conflict' },
  StorageError: { status: 500, code: 'storage_failed' },
  GrammarError: { status: 400, code: 'invalid_grammar' },
  WorkerError: { status: 503, code: 'worker_lost' },
  OptionError: { status: 400, code: 'invalid_value' },
  FormatError: { status: 400, code: 'invalid_format' },
  UnsupportedError: { status: 400, code: 'not_supported' },
  ShapeError: { status: 400, code: 'invalid_shape' },
  NumericError: { status: 400, code: 'not_finite' },
  DataError: { status: 400, code: 'invalid_data' },
  MismatchError: { status: 400, code: 'does_not_fit' },
  SignatureError: { status: 403, code: 'not_trusted' },
  ManifestError: { status: 400, code: 'invalid_manifest' },
}

const types: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  405: 'invalid_request_error',
  409: 'conflict_error',
  413: 'invalid_request_error',
  429: 'rate_limit_error',
  499: 'client_closed_request',
  501: 'not_supported_error',
  503: 'unavailable_error',
}

/** Characters of a message; the whole body stays below 32 KB. */
const MOST_CHARACTERS = 6000

/**
 * The RequestError for an error of any kind. An error that is not a GraftError is our own bug: its
 * message must reveal no internals.
 */
export function toRequestError(error: unknown): RequestError {
  if (error instanceof RequestError) return error
  if (!GraftError.isInstance(error))
    return new RequestError(
      'The server failed on this request. The operator finds the cause in its log.',
      { status: 500, code: 'internal_error' },
      { cause: error },
    )
  const given = error as GraftError & Partial<RequestError>
  if (typeof given.status === 'number')
    return new RequestError(given.message, given, { cause: error })
  const form = forms[error.name] ?? { status: 400, code: 'invalid_value' }
  return new RequestError(hidePaths(error.message), form, { cause: error })
}

/**
 * A message with only the last part of each absolute path, because clients must not learn where
 * files are. Paths within a schema (#/properties/a) stay.
 */
export const hidePaths = (message: string): string =>
  message
    .replaceAll(/(?<![\w.:/#])(?:file:\/\/)?\/(?:[^\s/:'"`,;()]+\/)+([^\s/:'"`,;()]*)/g, '$1')
    .replaceAll(/\b[A-Za-z]:\\(?:[^\s\\:'"]+\\)*([^\s\\:'"]*)/g, '$1')

export function createErrorBody(error: unknown): ErrorBody {
  const { message, status, type, param, code, details } = toRequestError(error)
  const shown =
    message.length > MOST_CHARACTERS ? `${message.slice(0, MOST_CHARACTERS)}… (cut)` : message
  const fields = {
    message: shown.toWellFormed(),
    type: type ?? types[status] ?? 'server_error',
    param: param === undefined ? null : param.slice(0, 200).toWellFormed(),
    code: code ?? null,
  }
  return { error: Object.assign({}, details, fields) }
}

/** OpenAI's clients repeat these unless a header forbids it. */
const mayBeRepeated = new Set([429, 503])

/**
 * The response of an error, with the headers that say whether and when to retry. `describe`
 * converts it to a form other than OpenAI's.
 */
export function createErrorResponse(
  error: unknown,
  describe: (body: ErrorBody) => object = (body) => body,
): Response {
  const found = toRequestError(error)
  const headers = new Headers()
  const { retryAfter = mayBeRepeated.has(found.status) ? 1 : undefined } = found
  if (retryAfter !== undefined)
    headers.set('Retry-After', String(Math.max(1, Math.ceil(retryAfter))))
  if (!mayBeRepeated.has(found.status)) headers.set('x-should-retry', 'false')
  return Response.json(describe(createErrorBody(found)), { status: found.status, headers })
}

// The error of a request: the message with the status and the fields of OpenAI's error object. The
// fields are plain, so that they can be sent from a worker.

import { GraftError } from '../base/errors.ts'

export interface RequestErrorFields {
  /** The HTTP status. Default 400. */
  readonly status?: number | undefined
  /** OpenAI's `type`; by default that of the status. */
  readonly type?: string | undefined
  /** The parameter that is wrong, as a path: `messages.2.content`. */
  readonly param?: string | undefined
  /** A code for programs: `model_not_found`. */
  readonly code?: string | undefined
  /** Seconds after which the request may be repeated: the header Retry-After. */
  readonly retryAfter?: number | undefined
  /** Further fields of the error object, such as `n_ctx`. */
  readonly details?: Readonly<Record<string, number | string>> | undefined
}

export class RequestError extends GraftError {
  readonly status: number
  readonly type: string | undefined
  readonly param: string | undefined
  readonly code: string | undefined
  readonly retryAfter: number | undefined
  readonly details: Readonly<Record<string, number | string>> | undefined
  constructor(message: string, fields: RequestErrorFields = {}, options?: ErrorOptions) {
    super(message, options)
    this.status = fields.status ?? 400
    this.type = fields.type
    this.param = fields.param
    this.code = fields.code
    this.retryAfter = fields.retryAfter
    this.details = fields.details
  }
}

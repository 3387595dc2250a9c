// The options of a server's operation, declared once for programs and for the command line.

import {
  flag,
  integer,
  listOf,
  number,
  oneOf,
  type OptionFields,
  type OptionValues,
  string,
} from '../../base/schema.ts'
import type { AnswerBounds } from '../accounts/observe-service.ts'
import { type KeyLimits, limitFields } from '../keys/api-key.ts'
import { type KeylessAccess, keylessAccesses } from '../keys/request-key.ts'

/** Limits of each key without its own, of the server, and of each request. */
export interface OperationOptions extends KeyLimits, AnswerBounds {
  /** Requests that run or wait at a time. Default 256. */
  readonly maxRequests?: number | undefined
  /** Default 8 MiB. */
  readonly maxBodyBytes?: number | undefined
  /** Origins whose pages may use the server; `*`: all. Default: none. */
  readonly cors?: readonly string[] | undefined
  /** /metrics needs no key. */
  readonly openMetrics?: boolean | undefined
  /** Which clients may come in as long as no key was ever made. Default: none. */
  readonly keyless?: KeylessAccess | undefined
}

export const operationFields = {
  requestsPerMinute: limitFields.requestsPerMinute,
  tokensPerMinute: limitFields.tokensPerMinute,
  concurrent: limitFields.concurrent,
  maxRequests: integer({
    from: 1,
    default: 256,
    about: 'requests that are answered or wait at a time; more are refused with 429',
  }),
  maxBodyBytes: integer({
    from: 1024,
    default: 8 * 2 ** 20,
    about: 'bytes of a request; longer ones are refused with 413',
  }),
  maxTokens: integer({ from: 1, about: 'new tokens of an answer; longer ones are cut' }),
  maxPromptTokens: integer({ from: 1, about: 'tokens of a prompt; longer ones are refused' }),
  maxAnswers: integer({ from: 1, default: 512, about: 'answers of a request: prompts times n' }),
  maxSeconds: number({
    above: 0,
    to: 86_400,
    default: 600,
    about: 'seconds that an answer may take; longer ones end with an error',
  }),
  cors: listOf(string(), { default: [], about: 'origins whose pages may use the server' }),
  openMetrics: flag({ default: false, about: '/metrics needs no key' }),
  keyless: oneOf(keylessAccesses, { default: 'nobody', about: 'who needs no key' }),
} satisfies OptionFields<OperationOptions>

export type OperationSettings = OptionValues<typeof operationFields>

// One line of JSON for each request except health probes. It names the key and the expert, never
// the user, and no text of a prompt unless prompts are asked for, because what is written to a log
// cannot be deleted again.

import type { RequestAccount, RequestObserver } from '../accounts/account.ts'
import { toRequestError } from '../error-response.ts'

export interface RequestLogParts {
  /** Takes a line without its end. */
  readonly write: (line: string) => void
  /** Also logs prompts. Default false. */
  readonly prompts?: boolean | undefined
}

/** Characters of a path or a prompt that are shown. */
const longestPath = 200
const longestPrompt = 100_000

export const createRequestLog = ({ write, prompts = false }: RequestLogParts): RequestObserver => ({
  onEnd: (account) => {
    const isProbe = account.route?.scope === 'open' && account.status < 400
    if (!isProbe) write(formatLogLine(describeRequest(account, prompts)))
  },
})

function describeRequest(account: RequestAccount, prompts: boolean): Record<string, unknown> {
  const { route, key, expert, status, tokens, answers, firstTokenMs, body } = account
  const { id, method, path } = account.start
  const asked = body['messages'] ?? body['prompt'] ?? body['input']
  return {
    time: new Date(account.startedAt).toISOString(),
    level: status >= 500 ? 'error' : 'info',
    event: 'request',
    request_id: id,
    method: method.slice(0, 20),
    // the route's pattern, because a path may contain a user's name
    path: route?.path ?? hideUser(path).slice(0, longestPath),
    status,
    duration_ms: round(account.durationMs),
    first_token_ms: firstTokenMs === undefined ? undefined : round(firstTokenMs),
    key: key?.name,
    expert: expert === '' ? undefined : expert,
    prompt_tokens: tokens.prompt,
    cached_tokens: tokens.cached,
    completion_tokens: tokens.completion,
    finish: answers.length === 0 ? undefined : answers.slice(0, 16).map(({ reason }) => reason),
    disconnected: account.isDisconnected || undefined,
    error: describeFailure(account),
    prompt: prompts && asked !== undefined ? cutPrompt(asked) : undefined,
  }
}

const round = (milliseconds: number): number => Math.round(milliseconds * 10) / 10

const hideUser = (path: string): string => path.replace(/(\/users\/).*/is, '$1…')

const cutPrompt = (asked: unknown): unknown => {
  const text = JSON.stringify(asked)
  return text.length <= longestPrompt ? asked : `${text.slice(0, longestPrompt)}… (cut)`
}

/**
 * For a refused request only the code, because the message may quote it; for our own failure
 * everything.
 */
function describeFailure({ failure, status }: RequestAccount): unknown {
  if (failure === undefined) return undefined
  const { code = 'error', status: failed } = toRequestError(failure)
  if (status < 500 && failed < 500) return { code }
  const { name, message, stack } = failure instanceof Error ? failure : new Error(String(failure))
  return { code, name, message, stack }
}

/**
 * A record as one line. JSON escapes line breaks and ESC; these characters also break lines or
 * control terminals: C1 controls, DEL, the line and paragraph separators, and the signs that change
 * the text direction.
 */
export const formatLogLine = (record: Readonly<Record<string, unknown>>): string =>
  JSON.stringify(record).replaceAll(
    /[\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

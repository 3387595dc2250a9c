// The lines of a batch's file: requests in OpenAI's form, checked before the first one is sent, and
// results in the form of its output file.

import { describeValue, isRecord } from '../../../base/schema.ts'
import { findNearestName } from '../../../base/suggest.ts'
import type { BatchProblem, BatchUsage } from './batch.ts'

/** Routes that batches may call. */
export const batchEndpoints = [
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/responses',
  '/v1/messages',
] as const

export const mostRequests = 50_000
const mostProblems = 100

export interface BatchRequest {
  readonly customId: string
  readonly url: string
  readonly body: Readonly<Record<string, unknown>>
}

export interface NumberedLine {
  /** Line number, from 1. */
  readonly number: number
  readonly text: string
}

/** Lines that are not blank. */
export async function* readNumberedLines(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<NumberedLine> {
  const decoder = new TextDecoder()
  let rest = ''
  let number = 0
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop()!
    for (const text of lines) {
      number++
      if (text.trim() !== '') yield { number, text }
    }
  }
  rest += decoder.decode()
  if (rest.trim() !== '') yield { number: number + 1, text: rest }
}

/** A line as a request, or the reason why it is invalid. */
export function parseBatchLine(text: string, endpoint: string | undefined): BatchRequest | Fault {
  let line: unknown
  try {
    line = JSON.parse(text)
  } catch (cause) {
    return new Fault('invalid_json_line', `is not valid JSON: ${(cause as Error).message}`)
  }
  if (!isRecord(line))
    return new Fault('invalid_json_line', `is ${describeValue(line)}, expected an object`)
  const problem = findLineProblem(line, endpoint)
  if (problem) return problem
  const { custom_id: customId, url, body } = line
  return { customId, url, body } as BatchRequest
}

const lineKeys = ['custom_id', 'method', 'url', 'body']

function findLineProblem(
  line: Readonly<Record<string, unknown>>,
  endpoint: string | undefined,
): Fault | undefined {
  const { custom_id: id, method, url, body } = line
  const unknown = Object.keys(line).find((key) => !lineKeys.includes(key))
  if (unknown !== undefined) {
    const meant = findNearestName(unknown, lineKeys)
    const hint = meant === undefined ? '' : `; did you mean "${meant}"?`
    const expected = `expected ${lineKeys.join(', ')}${hint}`
    return new Fault('unknown_parameter', `has the key "${unknown.slice(0, 100)}", ${expected}`, {
      param: unknown.slice(0, 100),
    })
  }
  for (const key of lineKeys)
    if (line[key] === undefined)
      return new Fault('missing_required_parameter', `has no ${key}`, { param: key })
  const expect = (param: string, wanted: string): Fault => {
    const given = describeValue(line[param])
    return new Fault('invalid_value', `${param}: got ${given}, expected ${wanted}`, { param })
  }
  if (typeof id !== 'string' || id === '' || id.length > 512)
    return expect('custom_id', 'a string of 1 to 512 characters')
  if (method !== 'POST') return expect('method', '"POST"')
  if (endpoint !== undefined && url !== endpoint)
    return new Fault('mismatched_url', `url: got ${describeValue(url)}, expected "${endpoint}"`, {
      param: 'url',
    })
  if (!batchEndpoints.some((one) => one === url))
    return expect('url', `one of ${batchEndpoints.join(', ')}`)
  if (!isRecord(body)) return expect('body', 'an object')
  if (body['stream'] !== undefined && body['stream'] !== null && body['stream'] !== false)
    return new Fault('invalid_value', 'body.stream: answers of a batch are whole', {
      param: 'body.stream',
    })
  return undefined
}

/** A problem in a line. */
export class Fault {
  readonly code: string
  readonly message: string
  readonly param: string | undefined
  constructor(code: string, message: string, { param }: { readonly param?: string } = {}) {
    this.code = code
    this.message = message
    this.param = param
  }
}

export interface CheckedLines {
  readonly total: number
  /** The first hundred problems at most. */
  readonly problems: readonly BatchProblem[]
}

/** Checks all lines and keeps none in memory. */
export async function checkBatchLines(
  lines: AsyncIterable<NumberedLine>,
  endpoint: string | undefined,
): Promise<CheckedLines> {
  const problems: BatchProblem[] = []
  const numbers = new Map<string, number>()
  let total = 0
  for await (const { number, text } of lines) {
    total++
    const parsed = parseBatchLine(text, endpoint)
    const fault = parsed instanceof Fault ? parsed : findRepetition(parsed, number, numbers)
    if (fault && problems.length < mostProblems)
      problems.push({
        code: fault.code,
        message: `Line ${number} ${fault.message}.`,
        line: number,
        param: fault.param,
      })
  }
  if (total === 0)
    problems.push({ code: 'empty_file', message: 'The file has no lines, expected requests.' })
  if (total > mostRequests)
    problems.push({
      code: 'too_many_tasks',
      message: `The file has ${total} requests, expected at most ${mostRequests}.`,
    })
  return { total, problems }
}

/** Records a request's id; returns a problem if an earlier line has it. */
function findRepetition(
  { customId }: BatchRequest,
  number: number,
  numbers: Map<string, number>,
): Fault | undefined {
  const first = numbers.get(customId)
  if (first === undefined) {
    numbers.set(customId, number)
    return undefined
  }
  const words = `custom_id: ${JSON.stringify(customId.slice(0, 100))} is that of line ${first} already`
  return new Fault('duplicate_custom_id', words, { param: 'custom_id' })
}

export interface BatchAnswer {
  readonly status: number
  readonly requestId: string
  readonly body: unknown
}

/** A line of the output file, or of the error file. */
export interface BatchResult {
  readonly id: string
  readonly custom_id: string
  readonly response: {
    readonly status_code: number
    readonly request_id: string
    readonly body: unknown
  } | null
  readonly error: { readonly code: string; readonly message: string } | null
}

export const toResult = (id: string, customId: string, answer: BatchAnswer): BatchResult => ({
  id,
  custom_id: customId,
  response: { status_code: answer.status, request_id: answer.requestId, body: answer.body },
  error: null,
})

export const toUnanswered = (
  id: string,
  customId: string,
  code: string,
  message: string,
): BatchResult => ({ id, custom_id: customId, response: null, error: { code, message } })

export const isAnswered = ({ response }: BatchResult): boolean =>
  response !== null && response.status_code < 300

/** The tokens of an answer, with the field names of any of the APIs. */
export function addResultUsage(sum: BatchUsage, { response }: BatchResult): BatchUsage {
  const body = isRecord(response?.body) ? response.body : {}
  const usage = isRecord(body['usage']) ? body['usage'] : {}
  const read = (names: readonly string[], from: unknown = usage): number => {
    const value = isRecord(from) ? names.map((name) => from[name]).find(Number.isFinite) : 0
    return typeof value === 'number' ? value : 0
  }
  const input = usage['prompt_tokens_details'] ?? usage['input_tokens_details']
  const output = usage['completion_tokens_details'] ?? usage['output_tokens_details']
  return {
    inputTokens: sum.inputTokens + read(['prompt_tokens', 'input_tokens']),
    cachedTokens: sum.cachedTokens + read(['cached_tokens'], input),
    outputTokens: sum.outputTokens + read(['completion_tokens', 'output_tokens']),
    reasoningTokens: sum.reasoningTokens + read(['reasoning_tokens'], output),
  }
}

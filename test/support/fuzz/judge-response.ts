// Sends one generated request and returns the problems of the answer.

import { root } from '../sources.ts'
import type { OddRequest } from './odd-requests.ts'

export interface Sent {
  readonly status: number
  readonly problems: readonly string[]
}

const longestMs = 90_000
const mostErrorBytes = 32 * 1024
const decoder = new TextDecoder()

export async function sendRequest(
  fetchFrom: (request: Request) => Promise<Response>,
  { method, path, headers, body, leaves }: OddRequest,
): Promise<Sent> {
  const controller = new AbortController()
  const request = createRequest(method, path, headers, body, controller.signal)
  if (request === undefined) return { status: 0, problems: [] }
  if (leaves === 'at once') setTimeout(() => controller.abort(), 1)
  const started = performance.now()
  let timer: ReturnType<typeof setTimeout> | undefined
  const hangs = new Promise<'hangs'>((resolve) => {
    timer = setTimeout(() => resolve('hangs'), longestMs)
  })
  try {
    const answered = await Promise.race([readAnswer(fetchFrom, request, leaves, controller), hangs])
    if (answered === 'hangs') return { status: 0, problems: [`no answer in ${longestMs} ms`] }
    return answered
  } catch (error) {
    if (leaves === 'at once') return { status: 0, problems: [] }
    const took = Math.round(performance.now() - started)
    return { status: 0, problems: [`fetch threw after ${took} ms: ${String(error)}`] }
  } finally {
    clearTimeout(timer)
  }
}

/** undefined where web requests cannot be so: a client could not send it either. */
function createRequest(
  method: string,
  path: string,
  headers: OddRequest['headers'],
  body: OddRequest['body'],
  signal: AbortSignal,
): Request | undefined {
  try {
    const init = { method, headers, signal, ...(body !== undefined && { body }) }
    return new Request(`http://localhost:8080${path}`, init)
  } catch {
    return undefined
  }
}

async function readAnswer(
  fetchFrom: (request: Request) => Promise<Response>,
  request: Request,
  leaves: OddRequest['leaves'],
  controller: AbortController,
): Promise<Sent> {
  const response = await fetchFrom(request)
  const { status } = response
  if (leaves === 'later') {
    const reader = response.body?.getReader()
    await reader?.read()
    controller.abort()
    await reader?.cancel().catch(() => undefined)
    return { status, problems: judgeHead(response) }
  }
  const text = decoder.decode(await response.arrayBuffer())
  const isHead = request.method === 'HEAD' || status === 499
  return {
    status,
    problems: [
      ...judgeHead(response),
      ...(isHead ? [] : judgeText(response, text, readPath(request))),
    ],
  }
}

/** The path as the server reads it, which may come with letters in hexadecimal. */
function readPath({ url }: Request): string {
  const { pathname } = new URL(url)
  try {
    return decodeURIComponent(pathname)
  } catch {
    return pathname
  }
}

function judgeHead({ status, headers }: Response): string[] {
  const problems: string[] = []
  if (status >= 500) problems.push(`status ${status}`)
  if (!/^[\w.:-]{1,128}$/.test(headers.get('x-request-id') ?? '')) problems.push('no x-request-id')
  if (status === 405 && !headers.get('allow')) problems.push('405 without Allow')
  if (status === 429 && !headers.get('retry-after')) problems.push('429 without Retry-After')
  return problems
}

function judgeText({ status, headers }: Response, text: string, path: string): string[] {
  if (text.includes(root)) return [`a path of the server in: ${text.slice(0, 300)}`]
  if (status >= 400) return judgeError(text, path)
  const type = headers.get('content-type') ?? ''
  if (type.includes('event-stream')) return judgeStream(text)
  if (type.includes('ndjson')) return judgeLines(text)
  if (type.includes('json') && !isJson(text)) return [`no JSON: ${text.slice(0, 200)}`]
  return []
}

/** What an error must hold, in the form of the path's API. */
function findMissing(value: ErrorValue, path: string): string[] {
  const { error } = value
  if (path.startsWith('/api/') && typeof error === 'string') return error === '' ? ['words'] : []
  const fields = typeof error === 'object' ? error : {}
  const names =
    path.startsWith('/v1/messages') && value.type === 'error' ? ['message', 'type'] : openaiNames
  const missing = names.filter((name) => fields[name] === undefined)
  if (missing.length > 0) return missing
  return typeof fields['message'] === 'string' && fields['message'] !== '' ? [] : ['words']
}

interface ErrorValue {
  readonly type?: string
  readonly error?: string | Readonly<Record<string, unknown>>
}
const openaiNames = ['message', 'type', 'param', 'code']

function judgeError(text: string, path: string): string[] {
  if (text.length > mostErrorBytes) return [`an error of ${text.length} bytes`]
  if (!isJson(text)) return [`an error that is not JSON: ${text.slice(0, 200)}`]
  const missing = findMissing(JSON.parse(text) as ErrorValue, path)
  return missing.length > 0 ? [`an error without ${missing.join(', ')}: ${text.slice(0, 200)}`] : []
}

/**
 * What ends a stream: OpenAI's mark, an error, llama.cpp's `stop: true`, the last event of an API.
 */
const ends = [
  /^\[DONE\]$/,
  /"error"/,
  /"stop":true/,
  /^\{"type":"message_stop"/,
  /^\{"type":"response\.(completed|incomplete|failed)"/,
]

function judgeStream(text: string): string[] {
  const data = text
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => line.slice('data: '.length))
  const wrong = data.find((record) => record !== '[DONE]' && !isJson(record))
  if (wrong !== undefined) return [`a record that is not JSON: ${wrong.slice(0, 200)}`]
  const last = data.at(-1) ?? ''
  return ends.some((end) => end.test(last)) ? [] : [`a stream that ends with ${last.slice(0, 200)}`]
}

/** Lines of JSON, of which the last says that it is the last. */
function judgeLines(text: string): string[] {
  const lines = text.trim().split('\n')
  const wrong = lines.find((line) => !isJson(line))
  if (wrong !== undefined) return [`a line that is not JSON: ${wrong.slice(0, 200)}`]
  const last = lines.at(-1)!
  return /"done":true|"error"/.test(last) ? [] : [`lines that end with ${last.slice(0, 200)}`]
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

// The calls of a vLLM server that Graft makes: models, tokens, adapters, completions, metrics.
// Contains its paths, statuses and error bodies. Independent of experts and requests.

import { isRecord } from '../../base/schema.ts'
import { RequestError } from '../request-error.ts'
import { parseRecord, readRecords, shownCharacters } from './read-records.ts'

export interface VllmAddress {
  /** With or without `/v1`: 'http://127.0.0.1:8000'. */
  readonly url: string
  /** The key of vLLM's --api-key. */
  readonly key?: string | undefined
}

/** A model or an adapter as /v1/models lists it. */
export interface VllmModel {
  readonly id: string
  /** Where it was read from. */
  readonly root: string | undefined
  /** The base of an adapter; undefined: it is the base. */
  readonly parent: string | undefined
  readonly contextTokens: number | undefined
}

export interface VllmClient {
  /** The host and the port. */
  readonly place: string
  listModels(): Promise<readonly VllmModel[]>
  /** The ids of a text without special tokens; undefined if the server has no such route. */
  tokenize(model: string, prompt: string): Promise<readonly number[] | undefined>
  /** An adapter that is already loaded is not an error. */
  load(name: string, path: string): Promise<void>
  /** An adapter that does not exist is not an error. */
  unload(name: string): Promise<void>
  /** The records of an answer. Throws before the first one if the server refuses. */
  complete(
    body: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Readonly<Record<string, unknown>>>>
  /** In Prometheus' text form. */
  readMetrics(): Promise<string>
}

interface Refusal {
  readonly status: number
  readonly message: string
  /** Whether the route itself is absent. */
  readonly isNoRoute: boolean
}

/** The error of a vLLM server: its status and message. */
export class VllmRefusal extends RequestError {}

export function createVllmClient({ url, key }: VllmAddress): VllmClient {
  const root = url.replace(/\/+$/, '').replace(/\/v1$/, '')
  const place = new URL(root).host
  const call = async (path: string, body?: object, signal?: AbortSignal): Promise<Response> => {
    const headers = new Headers(key === undefined ? {} : { authorization: `Bearer ${key}` })
    if (body) headers.set('content-type', 'application/json')
    try {
      return await fetch(`${root}${path}`, {
        method: body ? 'POST' : 'GET',
        headers,
        ...(body && { body: JSON.stringify(body) }),
        ...(signal && { signal }),
      })
    } catch (cause) {
      if (signal?.aborted) throw signal.reason
      throw createAbsence(place, cause)
    }
  }
  const must = async (path: string, body?: object, signal?: AbortSignal): Promise<Response> => {
    const response = await call(path, body, signal)
    if (response.ok) return response
    throw describeRefusal(place, path, await readRefusal(response))
  }
  return {
    place,
    async listModels() {
      const listed: unknown = await (await must('/v1/models')).json()
      const data = isRecord(listed) && Array.isArray(listed['data']) ? listed['data'] : []
      return data.filter((one) => isRecord(one)).map(readModel)
    },
    async tokenize(model, prompt) {
      const response = await call('/tokenize', { model, prompt, add_special_tokens: false })
      if (!response.ok) return undefined
      const { tokens } = (await response.json()) as { tokens?: number[] }
      return tokens
    },
    async load(name, path) {
      const response = await call('/v1/load_lora_adapter', { lora_name: name, lora_path: path })
      if (response.ok) return
      const refusal = await readRefusal(response)
      if (refusal.status === 400 && /already been loaded/.test(refusal.message)) return
      throw describeRefusal(place, '/v1/load_lora_adapter', refusal)
    },
    async unload(name) {
      const response = await call('/v1/unload_lora_adapter', { lora_name: name })
      if (response.ok) return
      const refusal = await readRefusal(response)
      if (refusal.status !== 404 || refusal.isNoRoute)
        throw describeRefusal(place, '/v1/unload_lora_adapter', refusal)
    },
    async complete(body, signal) {
      const response = await must('/v1/completions', body, signal)
      return body['stream'] === true ? readRecords(response) : readWhole(response)
    },
    readMetrics: async () => (await must('/metrics')).text(),
  }
}

async function* readWhole(
  response: Response,
): AsyncGenerator<Readonly<Record<string, unknown>>, void> {
  yield parseRecord(await response.text())
}

const readText = (value: unknown): string | undefined =>
  typeof value === 'string' ? value : undefined

const readModel = (one: Readonly<Record<string, unknown>>): VllmModel => ({
  id: String(one['id']),
  root: readText(one['root']),
  parent: readText(one['parent']),
  contextTokens: typeof one['max_model_len'] === 'number' ? one['max_model_len'] : undefined,
})

/**
 * vLLM's error has its text in `error.message`, of older versions in `message`, FastAPI's in
 * `detail`.
 */
async function readRefusal(response: Response): Promise<Refusal> {
  const { status } = response
  const text = await response.text()
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    body = undefined
  }
  const given = isRecord(body) ? body : {}
  const inner = isRecord(given['error']) ? given['error'] : given
  const said = readText(inner['message']) ?? readText(given['detail']) ?? text
  return {
    status,
    message: said.slice(0, shownCharacters),
    isNoRoute: status === 404 && given['detail'] === 'Not Found',
  }
}

function describeRefusal(
  place: string,
  path: string,
  { status, message, isNoRoute }: Refusal,
): VllmRefusal {
  if (isNoRoute && path.includes('lora_adapter'))
    return new VllmRefusal(
      `The vLLM server at ${place} loads no adapters. Start it with --enable-lora and with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its environment.`,
      { status: 501, code: 'not_supported' },
    )
  if (status === 401)
    return new VllmRefusal(
      `The vLLM server at ${place} asks for a key. Put its --api-key into VLLM_API_KEY.`,
      { status: 502, code: 'backend_refused' },
    )
  const known = status >= 400 && status < 500 ? status : 502
  return new VllmRefusal(`The vLLM server at ${place} says: ${message || `status ${status}`}`, {
    status: known,
    code: status === 404 ? 'not_found' : 'backend_refused',
    retryAfter: status >= 500 ? 1 : undefined,
  })
}

function createAbsence(place: string, cause: unknown): RequestError {
  const { cause: inner } = cause as { cause?: { code?: string } }
  const why = inner?.code ?? (cause instanceof Error ? cause.message : String(cause))
  return new RequestError(
    `The vLLM server at ${place} does not answer: ${why}.`,
    { status: 503, code: 'backend_away', retryAfter: 1 },
    { cause },
  )
}

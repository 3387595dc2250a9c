// graft serve with a vLLM server behind it: the same texts as an engine of its own, experts loaded
// there by call, everything else of the server in front, and what vLLM cannot do refused by name.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import {
  createAdapter,
  createRouter,
  loadModel,
  type LoadedModel,
  openRegistry,
  saveAdapter,
} from '../../src/node/index.ts'
import { type StartedServer, startServer } from '../../src/node/serve/start-server.ts'
import { commandNaming, toVllmTask } from '../../src/node/serve/backend-options.ts'
import type { StartServerOptions } from '../../src/node/serve/start-server.ts'
import { graft } from '../support/cli.ts'
import { createNoisyExpert } from '../support/server.ts'
import { openVllmDouble, type VllmDouble, type VllmDoubleOptions } from '../support/vllm-double.ts'

let folder: string
let model: LoadedModel
const opened: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-vllm-'))
  model = await loadModel('stories260k')
  for (const [name, seed] of [
    ['coder', 1],
    ['poet', 2],
  ] as const)
    await saveAdapter(
      Object.assign({}, createNoisyExpert(model, seed), { baseModel: 'stories260k' }),
      join(folder, name),
    )
})

afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close()
})

afterAll(async () => {
  await model.dispose()
  await rm(folder, { recursive: true, force: true })
})

const common = (): Partial<StartServerOptions> => ({
  port: 0,
  isolation: 'none',
  state: 'memory',
  log: 'off',
  openMetrics: true,
  adapterFolders: [folder],
})

async function start(options: Partial<StartServerOptions>): Promise<StartedServer> {
  const server = await startServer(Object.assign({ model: 'stories260k' }, common(), options))
  opened.push(() => server.close())
  return server
}

async function startBoth(
  options: Partial<StartServerOptions> = {},
  doubleOptions: VllmDoubleOptions = {},
): Promise<{ double: VllmDouble; server: StartedServer }> {
  const double = await openVllmDouble(doubleOptions)
  opened.push(() => double.close())
  const server = await start(
    Object.assign({ backend: 'vllm', url: double.url, shared: join(folder, 'shared') }, options),
  )
  return { double, server }
}

interface Reply {
  readonly status: number
  readonly body: ReturnType<typeof JSON.parse>
}

async function ask(
  server: StartedServer,
  path: string,
  body?: object,
  method?: string,
): Promise<Reply> {
  const response = await fetch(`${server.url}${path}`, {
    method: method ?? (body ? 'POST' : 'GET'),
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text }
}

const coder = () => [{ name: 'coder', path: join(folder, 'coder') }]
const story = { prompt: 'Once upon a time', max_tokens: 12, temperature: 0 }
const chat = { messages: [{ role: 'user', content: 'Lily' }], max_tokens: 12, temperature: 0 }

describe('answers', () => {
  it('are token for token those of an engine of its own, in every API', async () => {
    const own = await start({ adapters: coder() })
    const { server } = await startBoth({ adapters: coder() })
    for (const name of ['stories260k', 'coder', 'stories260k']) {
      for (const [path, body, read] of [
        ['/v1/completions', story, (reply: Reply) => reply.body.choices[0].text],
        ['/v1/chat/completions', chat, (reply: Reply) => reply.body.choices[0].message.content],
        ['/v1/messages', chat, (reply: Reply) => reply.body.content],
      ] as const) {
        const [mine, theirs] = [
          await ask(own, path, { ...body, model: name }),
          await ask(server, path, { ...body, model: name }),
        ]
        expect(theirs.status, JSON.stringify(theirs.body)).toBe(200)
        expect(read(theirs)).toEqual(read(mine))
        expect(theirs.body.usage.prompt_tokens).toBe(mine.body.usage.prompt_tokens)
      }
    }
    const { body: base } = await ask(server, '/v1/completions', { ...story, model: 'stories260k' })
    const { body: expert } = await ask(server, '/v1/completions', { ...story, model: 'coder' })
    expect(base.choices[0].text).not.toBe(expert.choices[0].text)
  })

  it('have log-probabilities, stop strings, several copies, and a cached prefix', async () => {
    const own = await start({})
    const { double, server } = await startBoth()
    const body = { ...story, logprobs: 2, echo: true, n: 2 }
    const [mine, theirs] = [
      await ask(own, '/v1/completions', body),
      await ask(server, '/v1/completions', body),
    ]
    expect(theirs.status, JSON.stringify(theirs.body)).toBe(200)
    expect(theirs.body.choices).toHaveLength(2)
    const [a, b] = [mine.body.choices[1].logprobs, theirs.body.choices[1].logprobs]
    expect(b.tokens).toEqual(a.tokens)
    const round = (values: readonly (number | null)[]) =>
      values.map((one) => one && Math.round(one * 100))
    expect(round(b.token_logprobs)).toEqual(round(a.token_logprobs))
    expect(Object.keys(b.top_logprobs.at(-1))).toEqual(Object.keys(a.top_logprobs.at(-1)))

    const whole = await ask(server, '/v1/completions', story)
    const word = whole.body.choices[0].text.trim().split(' ')[2]
    const cut = await ask(server, '/v1/completions', { ...story, stop: [word] })
    expect(cut.body.choices[0].finish_reason).toBe('stop')
    expect(whole.body.choices[0].text.startsWith(cut.body.choices[0].text)).toBe(true)
    expect(cut.body.choices[0].text).not.toContain(word)
    expect(cut.body.usage.prompt_tokens_details.cached_tokens).toBe(1)
    expect(double.completions.at(-1)).toMatchObject({ stop: [word], temperature: 0 })
  })

  it('carry forms of answers as vLLM names them', async () => {
    const { double, server } = await startBoth()
    const schema = { type: 'object', properties: { a: { type: 'integer' } } }
    await ask(server, '/v1/chat/completions', {
      ...chat,
      response_format: { type: 'json_schema', json_schema: { name: 'a', schema } },
    })
    expect(double.completions.at(-1)!.structured_outputs).toMatchObject({ json: schema })
    await ask(server, '/v1/chat/completions', { ...chat, response_format: { type: 'json_object' } })
    expect(double.completions.at(-1)!.structured_outputs).toMatchObject({ json_object: true })
  })
})

describe('experts', () => {
  it('are loaded, replaced and unloaded there by call', async () => {
    const { double, server } = await startBoth()
    const put = await ask(server, '/v1/experts', { name: 'x', path: 'coder' })
    expect(put.status, JSON.stringify(put.body)).toBe(200)
    expect([...double.adapters]).toHaveLength(1)
    const before = await ask(server, '/v1/completions', { ...story, model: 'x' })
    const swapped = await ask(server, '/v1/experts/x', { path: 'poet' }, 'PUT')
    expect(swapped.status, JSON.stringify(swapped.body)).toBe(200)
    const after = await ask(server, '/v1/completions', { ...story, model: 'x' })
    expect(after.body.choices[0].text).not.toBe(before.body.choices[0].text)
    await expect.poll(() => double.adapters.size).toBe(1)
    expect(double.unloads).toEqual([double.loads[0]])
    expect((await ask(server, '/v1/experts/x', undefined, 'DELETE')).status).toBe(200)
    expect(double.adapters.size).toBe(0)
    expect((await ask(server, '/v1/completions', { ...story, model: 'x' })).status).toBe(404)
  })

  it('are loaded again where vLLM was started again', async () => {
    const { double, server } = await startBoth({ adapters: coder() })
    const before = await ask(server, '/v1/completions', { ...story, model: 'coder' })
    await double.restart()
    const after = await ask(server, '/v1/completions', { ...story, model: 'coder' })
    expect(after.body.choices[0].text).toBe(before.body.choices[0].text)
    expect(double.loads).toHaveLength(2)
  })

  it('of another server of Graft are used where they are loaded already', async () => {
    const { double } = await startBoth({ adapters: coder() })
    const second = await start({
      backend: 'vllm',
      url: double.url,
      shared: join(folder, 'other'),
      adapters: coder(),
    })
    expect((await ask(second, '/v1/completions', { ...story, model: 'coder' })).status).toBe(200)
    expect(new Set(double.loads).size).toBe(1)
  })

  it('that vLLM refuses are refused with its words, and nothing has changed', async () => {
    const { double, server } = await startBoth({ adapters: coder() }, { maxRank: 4 })
    const large = { rank: 8, targets: ['q_proj'], start: 'random' }
    await saveAdapter(createNoisyExpert(model, 3, large), join(folder, 'large'))
    const { status, body } = await ask(server, '/v1/experts/coder', { path: 'large' }, 'PUT')
    expect([status, body.error.message]).toEqual([
      400,
      expect.stringContaining('LoRA rank 8 is greater than max_lora_rank 4'),
    ])
    expect(double.adapters.size).toBe(1)
    const { body: answer } = await ask(server, '/v1/completions', { ...story, model: 'coder' })
    expect(answer.choices[0].text).not.toBe('')
  })

  it.each([
    ['ia3', {}, 'of kind ia3. Make a LoRA of it: graft compress odd --rank 16'],
    ['dora', { rank: 2 }, 'of kind dora. Make a LoRA of it: graft compress odd --rank 16'],
    [
      'prompt-tuning',
      { virtualTokens: 2 },
      'No LoRA can be made of it: serve it without --backend',
    ],
    ['lora', { modulesToSave: ['norm'] }, 'Fold it into the base'],
    ['lora', { rankPattern: { q_proj: 2 } }, 'ranks or scales by module. Make a LoRA of it'],
  ] as const)(
    'of kind %s with %o are refused with the way out',
    async (kind, options, expected) => {
      const { double, server } = await startBoth()
      await saveAdapter(await createAdapter(kind, options, model), join(folder, 'odd'))
      const { status, body } = await ask(server, '/v1/experts', { name: 'odd', path: 'odd' })
      expect([status, body.error.message]).toEqual([400, expect.stringContaining(expected)])
      expect(double.loads).toEqual([])
      expect((await ask(server, '/v1/experts')).body.data).toEqual([])
    },
  )

  it('are not mixed: the error has the command that merges them', async () => {
    const { server } = await startBoth({ adapters: coder() })
    const { status, body } = await ask(server, '/v1/completions', { ...story, model: 'coder:0.5' })
    expect([status, body.error.message]).toEqual([
      400,
      expect.stringContaining('graft merge coder'),
    ])
  })
})

describe('in front of vLLM', () => {
  it('the registry loads its experts there, and the router chooses among them', async () => {
    const registry = await openRegistry(join(folder, 'registry'))
    await registry.add(join(folder, 'poet'), {
      id: 'verse',
      version: '1.2.0',
    })
    await registry.close()
    const rules = [{ expert: 'coder', terms: ['function'] }]
    const router = await createRouter({
      kind: 'keyword',
      experts: [{ name: 'coder' }],
      options: { rules },
    })
    const file = join(folder, 'router.json')
    await writeFile(file, JSON.stringify(router.save()))
    const { double, server } = await startBoth({
      adapters: coder(),
      registry: join(folder, 'registry'),
      router: file,
    })
    const found = await ask(server, '/v1/completions', { ...story, model: 'verse@^1' })
    expect([found.status, found.body.model]).toEqual([200, 'verse@^1'])
    expect(double.adapters.size).toBe(2)
    const routed = await ask(server, '/v1/completions', {
      ...story,
      prompt: 'A function',
      model: 'auto',
    })
    expect(routed.status, JSON.stringify(routed.body)).toBe(200)
    expect(double.completions.at(-1)!.model).toBe(double.loads[0])
  })
})

describe('graft serve --backend vllm', () => {
  it('takes the base that vLLM serves, and reports what is off', async () => {
    const double = await openVllmDouble()
    opened.push(() => double.close())
    const args = ['serve', 'stories260k', '--backend', 'vllm', '--url', double.url, '--port', '0']
    const { code, stdout, stderr } = await graft([...args, '--state', join(folder, 'state')], {
      onStart: (child) =>
        child.stdout!.on('data', (chunk: Buffer) => {
          if (chunk.toString().includes('Ctrl-C')) child.kill('SIGINT')
        }),
    })
    expect([code, stderr]).toEqual([0, expect.not.stringContaining('graft: Server options')])
    expect(stdout).toContain(`backend   vLLM at ${double.url}: LoRA only; no embeddings`)
  }, 180_000)
})

describe('what is off is said', () => {
  it('at the start: learning, options of the own engine, an address without a backend', async () => {
    const url = 'http://127.0.0.1:59999'
    await expect(start({ backend: 'vllm', url, learn: true })).rejects.toThrow(
      'the head, layer, memory and slow tiers learn from hidden states',
    )
    await expect(start({ backend: 'vllm', url, kvBytes: 1e9, maxRows: 2 })).rejects.toThrow(
      'maxRows, kvBytes: without effect',
    )
    await expect(start({ url })).rejects.toThrow('url is for backend "vllm"')
    await expect(start({ backend: 'vllm' })).rejects.toThrow('url: got nothing')
    await expect(start({ backend: 'vllm', url: 'ftp://x' })).rejects.toThrow('got "ftp://x"')
  })

  it('as the command line names options, where they are typed there', () => {
    const read = (options: object) => () => toVllmTask(options, {}, commandNaming)
    const url = 'http://127.0.0.1:59999'
    expect(read({ backend: 'vllm' })).toThrow(/^--url: got nothing, expected the address/)
    expect(read({ url })).toThrow(/^--url is for backend "vllm". Give --backend, too.$/)
    expect(read({ backend: 'vllm', url, kvBytes: 1 })).toThrow(/^--kv-bytes: without effect/)
  })

  it('by requests: embeddings, pins, speculation, feedback', async () => {
    const { server } = await startBoth({ adapters: coder() })
    const embedded = await ask(server, '/v1/embeddings', { input: 'a' })
    expect(embedded.body.error.message).toContain('hidden states')
    const pinned = await ask(server, '/v1/experts/coder/pin', {})
    expect(pinned.body.error.message).toContain('--max-loras')
    const rated = await ask(server, '/v1/feedback', { response_id: 'x', feedback: 'up' })
    expect(rated.status).toBe(400)
  })
})

describe('a vLLM server', () => {
  it('that does not answer, or serves another base, ends the start in one line', async () => {
    await expect(start({ backend: 'vllm', url: 'http://127.0.0.1:59999' })).rejects.toThrow(
      /The vLLM server at 127\.0\.0\.1:59999 does not answer: ECONNREFUSED/,
    )
    await expect(startBoth({}, { tokenize: (ids) => ids.slice(1) })).rejects.toThrow(
      /serves another base than stories260k/,
    )
  })

  it('that loads no adapters, or asks for a key, reports how to start it', async () => {
    await expect(startBoth({ adapters: coder() }, { isClosed: true })).rejects.toThrow(
      /VLLM_ALLOW_RUNTIME_LORA_UPDATING=True/,
    )
    await expect(startBoth({}, { key: 'secret' })).rejects.toThrow(/VLLM_API_KEY/)
  })

  it('that goes away gives 503 with Retry-After', async () => {
    const { double, server } = await startBoth()
    await double.close()
    opened.shift()
    const response = await fetch(`${server.url}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify(story),
    })
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1'])
    expect(((await response.json()) as Reply['body']).error.code).toBe('backend_away')
  })

  it('shows its queue and cache in the metrics in front', async () => {
    const { server } = await startBoth({ adapters: coder() })
    await ask(server, '/v1/completions', { ...story, model: 'coder' })
    const { body } = await ask(server, '/metrics')
    expect(body).toContain('vllm:num_requests_running{model_name="stories260k"} 3')
    expect(body).toContain('vllm:num_requests_waiting{model_name="stories260k"} 2')
    expect(body).toContain('vllm:kv_cache_usage_perc{model_name="stories260k"} 0.25')
    expect(body).toContain('graft_expert_answers_total{expert="coder"} 1')
  })
})

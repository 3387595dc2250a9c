// What a server counts and returns, over a real engine: rows 121 to 124 of the list of behaviours
// that the server is built to.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { random as createRandom } from '../../src/base/random.ts'
import { scratchFolder } from '../support/cli.ts'
import { openOperatedServer } from '../support/operated-server.ts'

type Operated = Awaited<ReturnType<typeof openOperatedServer>>

const post = ({ server }: Operated, path: string, body: object, signal?: AbortSignal) =>
  server.fetch(
    new Request(`http://localhost${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      ...(signal && { signal }),
    }),
  )

async function readMetrics({ server }: Operated): Promise<(name: string) => number | undefined> {
  const text = await (await server.fetch(new Request('http://localhost/metrics'))).text()
  return (name) => {
    const line = text.split('\n').find((one) => one.startsWith(`${name} `))
    return line === undefined ? undefined : Number(line.slice(name.length + 1))
  }
}
const base = '{model_name="stories260k"}'
const prompt = { model: 'stories260k', prompt: 'Once upon a time', temperature: 0 }

describe('row 123: ten equal requests', () => {
  let operated: Operated
  beforeAll(async () => {
    operated = await openOperatedServer()
  })
  afterAll(() => operated.close())

  it('are counted exactly, streamed or not', async () => {
    const max = 12
    const body = Object.assign({ max_tokens: max, ignore_eos: true }, prompt)
    const answers = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        const response = await post(
          operated,
          '/v1/completions',
          Object.assign({ stream: i % 2 === 0 }, body),
        )
        return response.text()
      }),
    )
    expect(answers).toHaveLength(10)
    const get = await readMetrics(operated)
    const { usage } = JSON.parse(answers[1]!)
    expect(get(`vllm:prompt_tokens_total${base}`)).toBe(10 * usage.prompt_tokens)
    expect(get(`vllm:generation_tokens_total${base}`)).toBe(10 * max)
    expect(
      get('vllm:request_success_total{model_name="stories260k",finished_reason="length"}'),
    ).toBe(10)
    expect(get(`vllm:time_to_first_token_seconds_count${base}`)).toBe(10)
    expect(get(`vllm:inter_token_latency_seconds_count${base}`)).toBe(10 * (max - 1))
    expect(get(`vllm:num_requests_running${base}`)).toBe(0)
    expect(get(`vllm:num_requests_waiting${base}`)).toBe(0)
  })
  it('row 124: an idle expert is there with 0, and counts once it answers', async () => {
    expect((await readMetrics(operated))('graft_expert_answers_total{expert="coder"}')).toBe(0)
    const response = await post(
      operated,
      '/v1/completions',
      Object.assign({}, prompt, { model: 'coder', max_tokens: 3 }),
    )
    expect(response.status).toBe(200)
    const get = await readMetrics(operated)
    expect(get('graft_expert_answers_total{expert="coder"}')).toBe(1)
    expect(get('graft_expert_answers_total{expert="poet"}')).toBe(0)
    expect(get('graft_expert_requests_running{expert="coder"}')).toBe(0)
  })
})

describe('rows 121 and 122: clients that go away', () => {
  let operated: Operated
  beforeAll(async () => {
    operated = await openOperatedServer({ engine: { pieceTokens: 32 } })
  })
  afterAll(() => operated.close())

  const expectNothingLeft = async (): Promise<void> => {
    await operated.engine.run()
    const { running, waiting, experts } = operated.engine.stats()
    expect([running, waiting, experts.leases]).toEqual([0, 0, 0])
    await expect.poll(() => operated.operations.lifecycle.openRequests).toBe(0)
  }
  it.each([
    ['during the prompt', { prompt: 'Once upon a time there was a cat. '.repeat(20) }, false],
    ['during the answer', { max_tokens: 300, ignore_eos: true }, true],
  ])('%s free their row and are counted once', async (_, more, hasBegun) => {
    const before = (await readMetrics(operated))(
      `vllm:http_requests_client_disconnected_total${base}`,
    )!
    const controller = new AbortController()
    const body = Object.assign({ stream: true }, prompt, more)
    const response = post(operated, '/v1/completions', body, controller.signal)
    if (hasBegun) await (await response).body!.getReader().read()
    else await operated.engine.step()
    controller.abort()
    await response.then(
      ({ body: stream }) => stream?.cancel().catch(() => undefined),
      () => undefined,
    )
    await expectNothingLeft()
    const get = await readMetrics(operated)
    expect(get(`vllm:http_requests_client_disconnected_total${base}`)).toBe(before + 1)
    expect(get(`vllm:kv_cache_usage_perc${base}`)).toBe(0)
  })
  it('a hundred of them at random leave the blocks as they were', async () => {
    const count = (): number => {
      const { free, cached } = operated.engine.stats().kv.blocks
      return free + cached
    }
    const before = count()
    const random = createRandom(1)
    await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const controller = new AbortController()
        setTimeout(() => controller.abort(), random.integer(300))
        const model = ['stories260k', 'coder', 'poet', 'coder:0.5+poet:0.5'][i % 4]!
        const body = Object.assign({}, prompt, {
          model,
          prompt: 'a cat and a dog '.repeat(1 + random.integer(20)),
          max_tokens: 1 + random.integer(100),
          stream: i % 3 > 0,
          n: 1 + (i % 2),
        })
        const response = await post(operated, '/v1/completions', body, controller.signal)
        await response.text().catch(() => undefined)
      }),
    )
    await expectNothingLeft()
    expect(count()).toBe(before)
  })
})

describe('row 117: experts from elsewhere', () => {
  const scratch = scratchFolder()
  let operated: Operated
  beforeAll(async () => {
    mkdirSync(join(scratch.path, 'allowed', 'broken'), { recursive: true })
    mkdirSync(join(scratch.path, 'secret'))
    writeFileSync(join(scratch.path, 'allowed', 'broken', 'adapter_config.json'), '{"a":')
    symlinkSync(join(scratch.path, 'secret'), join(scratch.path, 'allowed', 'out'))
    operated = await openOperatedServer({ adapterFolder: join(scratch.path, 'allowed') })
  })
  afterAll(async () => {
    await operated.close()
    scratch.remove()
  })
  const routes: readonly (readonly [string, (path: string) => object])[] = [
    ['/v1/load_lora_adapter', (path) => ({ lora_name: 'fresh', lora_path: path })],
    ['/lora-adapters/load', (path) => ({ path, scale: 1 })],
    ['/v1/experts', (path) => ({ name: 'fresh', path })],
  ]
  const paths = [
    '/etc/passwd',
    '../secret',
    'out',
    'file:///etc/passwd',
    'http://169.254.169.254/latest',
    'broken\0',
    'a'.repeat(10_000),
    'broken',
  ]
  it.each(routes.flatMap(([route, toBody]) => paths.map((path) => ({ route, path, toBody }))))(
    '$route refuses $path with 400, and nothing has changed',
    async ({ route, path, toBody }) => {
      const response = await post(operated, route, toBody(path))
      const text = await response.text()
      expect(response.status).toBe(400)
      expect(text.length).toBeLessThan(32_768)
      expect(text).not.toContain(scratch.path)
      expect(JSON.parse(text).error.message).not.toBe('')
      expect(operated.engine.stats().experts.names).toBe(2)
    },
  )
})

it('keys do not find in the cache what others had read', async () => {
  const operated = await openOperatedServer({ options: { keyless: 'nobody' } })
  const keys = await Promise.all(
    ['a', 'b'].map(async (name) => (await operated.operations.keys.add({ name })).text),
  )
  const ask = async (key: string): Promise<number> => {
    const request = new Request('http://localhost/v1/completions', {
      method: 'POST',
      headers: { authorization: `Bearer ${key}` },
      body: JSON.stringify(
        Object.assign({}, prompt, { prompt: 'Once there was a cat. '.repeat(20), max_tokens: 1 }),
      ),
    })
    const { usage } = JSON.parse(await (await operated.server.fetch(request)).text())
    return Number(usage.prompt_tokens_details?.cached_tokens ?? 0)
  }
  expect(await ask(keys[0]!)).toBe(0)
  expect(await ask(keys[0]!)).toBeGreaterThan(50)
  expect(await ask(keys[1]!)).toBe(0)
  await operated.close()
})

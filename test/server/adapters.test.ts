// Experts by request: vLLM's routes, llama.cpp's, and our own. Numbers: the list of behaviours that
// the server is built to.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadAdapter, saveAdapter } from '../../src/node/index.ts'
import { NotFoundError } from '../../src/index.ts'
import { ask, createNoisyExpert, openTestServer, type TestServer } from '../support/server.ts'

let folder: string
let server: TestServer
const names = ['one', 'two', 'narrow']

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'graft-server-'))
  server = await openTestServer({
    readAdapter: async (path) => {
      const adapter = await loadAdapter(join(folder, path))
      return { adapter, system: path === 'two' ? 'Two!' : undefined }
    },
  })
  for (const [i, name] of names.entries()) {
    const targets = name === 'narrow' ? ['down_proj'] : ['q_proj', 'v_proj']
    const adapter = createNoisyExpert(server.model, i + 1, { rank: 4, targets, start: 'random' })
    await saveAdapter(adapter, join(folder, name))
  }
  const other = await openTestServer()
  const wrong = createNoisyExpert(other.model, 9)
  const tensors = [...wrong.tensors].map(([key, tensor]) => {
    const [rows, columns] = tensor.shape as [number, number]
    return [key, { ...tensor, shape: [columns, rows] }] as const
  })
  await saveAdapter({ ...wrong, tensors: new Map(tensors) } as never, join(folder, 'wrong'))
  await saveAdapter(wrong, join(folder, 'broken'))
  writeFileSync(join(folder, 'broken', 'adapter_config.json'), '{')
  await other.close()
})
afterAll(async () => {
  await server.close()
  rmSync(folder, { recursive: true })
})

const post = (path: string, body: object) => ask(server, path, body)
const answer = async (model?: string, more: object = {}): Promise<string> => {
  const asked = { prompt: 'Once upon a time', max_tokens: 20, temperature: 0, ...more }
  const { body } = await post('/v1/completions', { ...asked, ...(model && { model }) })
  return body.choices[0].text
}
const clear = async () => {
  for (const { name } of await server.service.listExperts()) await server.service.unloadExpert(name)
}

describe('vLLM’s routes', () => {
  it('75, 77, 81: load, use, replace, unload', async () => {
    const loaded = await post('/v1/load_lora_adapter', { lora_name: 'x', lora_path: 'one' })
    expect([loaded.status, loaded.body]).toEqual([
      200,
      "Success: LoRA adapter 'x' added successfully.",
    ])
    const base = await answer()
    const one = await answer('x')
    expect(one).not.toBe(base)
    const again = await post('/v1/load_lora_adapter', { lora_name: 'x', lora_path: 'two' })
    expect([again.status, again.body.error.message]).toEqual([
      400,
      expect.stringContaining('already been loaded'),
    ])
    expect(await answer('x')).toBe(one)
    const replaced = { lora_name: 'x', lora_path: 'two', load_inplace: true }
    expect((await post('/v1/load_lora_adapter', replaced)).status).toBe(200)
    expect(await answer('x')).not.toBe(one)
    const gone = await post('/v1/unload_lora_adapter', { lora_name: 'x' })
    expect([gone.status, gone.body]).toEqual([
      200,
      "Success: LoRA adapter 'x' removed successfully.",
    ])
    expect((await post('/v1/completions', { model: 'x', prompt: 'a' })).status).toBe(404)
    const unknown = await post('/v1/unload_lora_adapter', { lora_name: 'x' })
    expect([unknown.status, unknown.body.error.type]).toEqual([404, 'NotFoundError'])
  })

  it.each([
    [{ lora_path: 'one' }, 400, 'lora_name'],
    [{ lora_name: 'a' }, 400, 'lora_path'],
    [{ lora_name: '', lora_path: 'one' }, 400, 'lora_name'],
    [{ lora_name: 'a', lora_path: 'nowhere' }, 404, undefined],
    [{ lora_name: 'a', lora_path: 'broken' }, 400, undefined],
    [{ lora_name: 'a', lora_path: 'wrong' }, 400, undefined],
    [{ lora_name: 'stories260k', lora_path: 'one' }, 400, 'lora_name'],
    [{ lora_name: 'a+b', lora_path: 'one' }, 400, 'lora_name'],
    [{ lora_name: 'a\nb', lora_path: 'one' }, 400, 'lora_name'],
  ] as [object, number, string | undefined][])(
    '76, 78, 79: case %# is %#, and nothing is loaded',
    async (body, status, param) => {
      const before = (await ask(server, '/v1/models')).body
      const { status: got, body: failed } = await post('/v1/load_lora_adapter', body)
      expect(got).toBe(status)
      expect(failed.error.type).toBe(status === 404 ? 'NotFoundError' : 'InvalidUserInput')
      expect(failed.error.param ?? undefined).toBe(param)
      expect(JSON.stringify(failed)).not.toContain(folder)
      expect((await ask(server, '/v1/models')).body).toEqual(before)
    },
  )

  it('80: bad loads while requests run fail none of those', async () => {
    const running = Array.from({ length: 6 }, (_, i) => answer(undefined, { seed: i }))
    const bad = Array.from({ length: 20 }, (_, i) =>
      post('/v1/load_lora_adapter', { lora_name: `b${i}`, lora_path: i % 2 ? 'wrong' : 'nowhere' }),
    )
    expect(new Set(await Promise.all(running)).size).toBe(1)
    for (const { status } of await Promise.all(bad)) expect([400, 404]).toContain(status)
  })
})

describe('llama.cpp’s routes', () => {
  it('87, 88: numbers, scales, the same file twice', async () => {
    await clear()
    const first = (await post('/lora-adapters/load', { path: 'one', scale: 0.5 })).body
    const second = (await post('/lora-adapters/load', { path: 'one', scale: 1 })).body
    expect([second.id, first.scale, second.scale]).toEqual([first.id + 1, 0.5, 1])
    const listed = (await ask(server, '/lora-adapters')).body
    expect(listed).toEqual([
      { id: first.id, path: 'one', scale: 0.5 },
      { id: second.id, path: 'one', scale: 1 },
    ])
    expect((await post('/lora-adapters/unload', { id: 999 })).status).toBe(404)
    await post('/lora-adapters/unload', { id: first.id })
    expect((await ask(server, '/lora-adapters')).body).toEqual([listed[1]])
    expect((await post('/lora-adapters', [{ id: 999, scale: 1 }])).status).toBe(400)
    expect((await post('/lora-adapters', { id: 1 })).status).toBe(400)
  })

  it('84, 86: scales in parallel are as alone; 0 is the base, bit for bit', async () => {
    await clear()
    const { id } = (await post('/lora-adapters/load', { path: 'one', scale: 0 })).body
    const native = async (scale: number): Promise<string> => {
      const asked = { prompt: 'Once upon a time', n_predict: 20, temperature: 0, n_probs: 1 }
      const { body } = await post('/completion', { ...asked, lora: [{ id, scale }] })
      return JSON.stringify([body.content, body.completion_probabilities])
    }
    const scales = [0, 0, 0.3, 0.7, 1, 1]
    const together = await Promise.all(scales.map(native))
    const alone: string[] = []
    for (const scale of scales) alone.push(await native(scale))
    expect(together.map((one) => JSON.parse(one)[0])).toEqual(
      alone.map((one) => JSON.parse(one)[0]),
    )
    const { body } = await post('/completion', {
      prompt: 'Once upon a time',
      n_predict: 20,
      temperature: 0,
      n_probs: 1,
      model: 'stories260k',
    })
    expect(alone[0]).toBe(JSON.stringify([body.content, body.completion_probabilities]))
    expect(alone[0]).not.toBe(alone[4])
  })

  it('87: a scale that is set answers requests without a model, and no others', async () => {
    await clear()
    const { id } = (await post('/lora-adapters/load', { path: 'one', scale: 0 })).body
    const base = await answer('stories260k')
    const { name } = (await server.service.listExperts())[0]!
    const expert = await answer(name)
    expect((await post('/lora-adapters', [{ id, scale: 1 }])).status).toBe(200)
    expect(await answer()).toBe(expert)
    expect(await answer('stories260k')).toBe(base)
    expect(await answer(undefined, { lora: [] })).toBe(base)
    expect(
      (await post('/v1/completions', { prompt: 'a', lora: [{ id: 77, scale: 1 }] })).status,
    ).toBe(400)
    const both = { prompt: 'a', model: name, lora: [{ id, scale: 1 }] }
    expect((await post('/v1/completions', both)).body.error.param).toBe('lora')
    await post('/lora-adapters', [])
    expect(await answer()).toBe(base)
  })

  it('/completion has its own fields, streamed as well', async () => {
    const asked = {
      prompt: 'I believe the meaning of life is',
      n_predict: 8,
      temperature: 0,
      return_tokens: true,
    }
    const { body } = await post('/completion', asked)
    expect(body).toMatchObject({
      stop: true,
      stop_type: 'limit',
      tokens_predicted: 8,
      tokens_evaluated: 18,
      truncated: false,
      timings: { predicted_n: 8 },
    })
    expect(body.tokens).toHaveLength(8)
    const { body: text } = await post('/completion', { ...asked, stream: true })
    const records = (text as string)
      .trim()
      .split('\n\n')
      .map((one) => JSON.parse(one.slice(6)))
    expect(records.map((one) => one.content).join('')).toBe(body.content)
    expect(records.at(-1)).toMatchObject({ stop: true, content: '', tokens_predicted: 8 })
    expect(records.slice(0, -1).every((one) => one.stop === false)).toBe(true)
  })

  it('/health, /props and /slots', async () => {
    expect((await ask(server, '/health')).body).toEqual({ status: 'ok' })
    expect((await ask(server, '/props')).body).toMatchObject({ total_slots: 16 })
    const slots = (await ask(server, '/slots')).body
    expect(slots).toHaveLength(16)
    expect(slots.filter((one: { is_processing: boolean }) => one.is_processing)).toEqual([])
  })
})

describe('our own routes', () => {
  it('list, load, swap, pin, statistics, unload', async () => {
    await clear()
    const loaded = await post('/v1/experts', { name: 'coder', path: 'one' })
    expect(loaded.body).toMatchObject({
      id: 'coder',
      version: 1,
      pinned: false,
      system: null,
      kind: 'lora',
    })
    const one = await answer('coder')
    const swapped = await ask(server, '/v1/experts/coder', { path: 'two' }, { method: 'PUT' })
    expect(swapped.body).toMatchObject({ version: 2, system: 'Two!', number: loaded.body.number })
    expect(swapped.body.key).not.toBe(loaded.body.key)
    expect(await answer('coder')).not.toBe(one)
    expect((await post('/v1/experts/coder/pin', {})).body.pinned).toBe(true)
    expect((await ask(server, '/v1/experts')).body.data).toHaveLength(1)
    expect((await ask(server, '/v1/experts/coder/stats')).body).toMatchObject({
      answers: 1,
      completion_tokens: 20,
    })
    expect((await ask(server, '/v1/stats')).body).toMatchObject({
      running: 0,
      experts: { names: 1 },
    })
    const removed = await ask(server, '/v1/experts/coder', undefined, { method: 'DELETE' })
    expect(removed.body).toEqual({ id: 'coder', object: 'expert', deleted: true })
    const missing = await ask(server, '/v1/experts/coder')
    expect([missing.status, missing.body.error.code]).toEqual([404, 'expert_not_found'])
  })

  it('92: other bytes at the same path have another key; the same bytes elsewhere the same', async () => {
    await clear()
    const first = (await post('/v1/experts', { name: 'a', path: 'one' })).body
    const second = (await post('/v1/experts', { name: 'b', path: 'one' })).body
    const third = (await post('/v1/experts', { name: 'c', path: 'two' })).body
    expect(second.key).toBe(first.key)
    expect(third.key).not.toBe(first.key)
  })

  it('94: the system message that an expert was taught with is used', async () => {
    await clear()
    await post('/v1/experts', { name: 'two', path: 'two' })
    const render = async (model: string, messages: object[]) =>
      (await post('/apply-template', { model, messages })).body.prompt
    const user = [{ role: 'user', content: 'Hi' }]
    expect(await render('two', user)).toContain('system\nTwo!<')
    expect(await render('stories260k', user)).not.toContain('Two!')
    expect(await render('two', [{ role: 'developer', content: 'Mine' }, ...user])).not.toContain(
      'Two!',
    )
    expect(await render('two', [{ role: 'developer', content: 'Mine' }, ...user])).toContain(
      'system\nMine',
    )
  })

  it('without a reader nothing is loaded', async () => {
    const closed = await openTestServer()
    expect((await ask(closed, '/v1/experts', { path: 'one' })).status).toBe(403)
    await closed.close()
  })

  it('74: the mixture of a name that is not loaded says so', async () => {
    await clear()
    await post('/v1/experts', { name: 'coder', path: 'one' })
    const { status, body } = await post('/v1/completions', {
      model: 'coder:0.7+securty:0.3',
      prompt: 'a',
    })
    expect([status, body.error.message]).toEqual([404, expect.stringContaining('"securty"')])
    expect(NotFoundError).toBeDefined()
  })
})

describe('many experts at once', () => {
  it('83: ten experts in room for few, three requests each, each its own text', async () => {
    const wide = await openTestServer()
    await wide.engine.registerAdapter('one', createNoisyExpert(wide.model, 1))
    await wide.service.pinExpert('one', true)
    const { slotBytes } = wide.engine.stats().experts
    await wide.close()
    const engineOptions = { expertBytes: 2 * slotBytes, maxRows: 4 }
    const small = await openTestServer({ engineOptions })
    const models = Array.from({ length: 10 }, (_, i) => `e${i}`)
    for (const [i, name] of models.entries())
      await small.engine.registerAdapter(name, createNoisyExpert(small.model, i))
    const write = async (model: string): Promise<string> => {
      const asked = { model, prompt: 'Once', max_tokens: 6, temperature: 0 }
      const { status, body } = await ask(small, '/v1/completions', asked)
      expect(status).toBe(200)
      return body.choices[0].text
    }
    const alone: string[] = []
    for (const name of models) alone.push(await write(name))
    const together = await Promise.all([...models, ...models, ...models].map(write))
    expect(together).toEqual([...alone, ...alone, ...alone])
    expect(new Set(alone).size).toBeGreaterThan(5)
    expect(small.engine.stats().experts.evictions).toBeGreaterThan(0)
    await small.close()
  })
})

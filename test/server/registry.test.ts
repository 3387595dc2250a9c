// Experts of a registry by name in a running server: loaded on demand, published while it runs,
// verified, and kept within their bytes.

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRouter, loadModel, openRegistry, saveAdapter } from '../../src/node/index.ts'
import { signFolder } from '../../src/node/registry/sign-folder.ts'
import { type StartedServer, startServer } from '../../src/node/serve/start-server.ts'
import type { StartServerOptions } from '../../src/node/serve/start-server.ts'
import { createKeyPair } from '../../src/registry/signing/ecdsa.ts'
import type { Registry } from '../../src/registry/registry.ts'
import { createNoisyExpert } from '../support/server.ts'

let folder: string
let registry: Registry
let server: StartedServer

const start = (options: Partial<StartServerOptions> = {}): Promise<StartedServer> =>
  startServer({
    model: 'stories260k',
    port: 0,
    isolation: 'none',
    state: 'memory',
    log: 'off',
    registry: registry.location,
    ...options,
  })

/** A folder with an expert; the text that it writes follows from the seed. */
async function makeFolder(name: string, seed: number, manifest?: object): Promise<string> {
  const path = join(folder, name)
  await cp(join(folder, `seed-${seed}`), path, { recursive: true })
  if (manifest) {
    const whole = {
      layout: 1,
      id: name,
      version: '1.0.0',
      kind: 'lora',
      base: { id: 'stories260k' },
    }
    await writeFile(join(path, 'expert.json'), JSON.stringify({ ...whole, ...manifest }))
  }
  return path
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-served-'))
  const model = await loadModel('stories260k')
  for (let seed = 1; seed <= 6; seed++) {
    const adapter = createNoisyExpert(model, seed)
    await saveAdapter({ ...adapter, baseModel: 'stories260k' }, join(folder, `seed-${seed}`))
  }
  await model.dispose()
  registry = await openRegistry(join(folder, 'registry'))
  await registry.add(join(folder, 'seed-1'), {
    id: 'coder',
    version: '1.0.0',
    channels: ['stable'],
  })
  await registry.add(join(folder, 'seed-2'), { id: 'coder', version: '1.2.0' })
  await registry.add(join(folder, 'seed-3'), { id: 'security', version: '0.3.1' })
  server = await start({
    adapterFolders: [folder],
    adapters: [1, 2, 3].map((seed) => ({
      name: `by-path-${seed}`,
      path: join(folder, `seed-${seed}`),
    })),
  })
})
afterAll(async () => {
  await server.close()
  await registry.close()
  await rm(folder, { recursive: true })
})

/** What JSON.parse gives: tests look into bodies of every form. */
type Body = ReturnType<typeof JSON.parse>

async function fetchBody(path: string, body?: object, from = server) {
  const response = await fetch(`${from.url}${path}`, {
    ...(body && { method: 'POST', body: JSON.stringify(body) }),
  })
  return { status: response.status, body: (await response.json()) as Body }
}
const complete = (model: string, more: object = {}, from = server) => {
  const asked = { model, prompt: 'Once upon a time', max_tokens: 16, temperature: 0, ...more }
  return fetchBody('/v1/completions', asked, from)
}
async function answer(model: string, more: object = {}, from = server): Promise<string> {
  const { status, body } = await complete(model, more, from)
  expect([status, body.error?.message]).toEqual([200, undefined])
  return body.choices[0].text
}
const listResident = async (from = server): Promise<string[]> =>
  (await fetchBody('/v1/experts', undefined, from)).body.data.map(({ id }: { id: string }) => id)

describe('a request’s model', () => {
  it.each([
    ['coder', 'by-path-2'],
    ['coder@1.0.0', 'by-path-1'],
    ['coder@^1.1', 'by-path-2'],
    ['coder@1.2', 'by-path-2'],
    ['coder@stable', 'by-path-1'],
    ['stories260k:coder@stable', 'by-path-1'],
    ['coder@stable:0.7+security:0.3', 'by-path-1:0.7+by-path-3:0.3'],
    ['coder@stable>4>security@~0.3', 'by-path-1>4>by-path-3'],
    ['coder@stable:0.8@1-3', 'by-path-1:0.8@1-3'],
  ])('%s is answered as %s, and named as it was asked for', async (model, byPath) => {
    const { body } = await complete(model)
    expect([body.model, body.choices[0].text]).toEqual([model, await answer(byPath)])
    expect(body.choices[0].text).not.toBe(await answer('stories260k'))
  })

  it('names a content by its hash, of digits alone too', async () => {
    const { hash } = await registry.resolve('coder@1.0.0')
    expect(await answer(`coder@sha256:${hash.slice(0, 16)}`)).toBe(await answer('by-path-1'))
    const { status, body } = await complete('coder@sha256:12345678')
    expect([status, body.error.message]).toEqual([
      404,
      expect.stringMatching(/has no content sha256:12345678/),
    ])
  })

  it.each([
    ['codr', /There is no expert "codr"\. Did you mean "coder"\?/],
    ['by-path-9', /Did you mean "by-path-/],
    ['securty@stable', /Did you mean "security"\?/],
    ['coder@^3', /"coder" has no version that satisfies \^3; its versions are 1\.2\.0, 1\.0\.0/],
    ['coder@stabel', /no channel "stabel"\. Did you mean "stable"\?/],
    ['../coder', /There is no expert "\.\.\/coder"/],
    ['a\nb', /There is no expert "a\\nb"/],
    ['coder+unknown', /There is no expert "unknown"/],
  ])('%j is 404 with the nearest, and nothing is loaded', async (model, message) => {
    const before = await listResident()
    const { status, body } = await complete(model)
    expect([status, body.error.code, body.error.param]).toEqual([404, 'model_not_found', 'model'])
    expect(body.error.message).toMatch(message)
    expect(body.error.message).not.toContain(folder)
    expect(await listResident()).toEqual(before)
  })

  it('reaches embeddings, tokens and templates too', async () => {
    for (const [path, body] of [
      ['/v1/embeddings', { input: 'Lily' }],
      ['/tokenize', { prompt: 'Lily' }],
      ['/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 }],
    ] as const)
      expect([path, (await fetchBody(path, { model: 'coder@stable', ...body })).status]).toEqual([
        path,
        200,
      ])
  })
})

describe('registered and resident', () => {
  it('are two states, in /v1/models and /v1/experts', async () => {
    await registry.add(join(folder, 'seed-4'), { id: 'idle', version: '2.0.0', channels: ['next'] })
    const { data } = (await fetchBody('/v1/models')).body
    const stateOf = (id: string) => data.find((one: Body) => one.id === id)?.state
    expect(['by-path-1', 'coder@1.0.0', 'coder', 'idle'].map(stateOf)).toEqual([
      'resident',
      'resident',
      'resident',
      'registered',
    ])
    const { body } = await fetchBody('/v1/experts')
    expect(body.data.map((one: Body) => [one.id, one.registered])).toContainEqual([
      'coder@1.0.0',
      true,
    ])
    expect(JSON.stringify(body.data.filter((one: Body) => one.registered))).not.toContain(folder)
    expect(body.registered.map((one: Body) => [one.id, one.version, one.resident])).toEqual([
      ['coder', '1.2.0', true],
      ['idle', '2.0.0', false],
      ['security', '0.3.1', true],
    ])
    const shown = await fetchBody('/v1/models/idle@next')
    expect(shown.body).toMatchObject({ id: 'idle@next', state: 'registered' })
    const absent = await fetchBody('/v1/experts/idle')
    expect([absent.status, absent.body.error.message]).toEqual([
      404,
      expect.stringMatching(/"idle@2\.0\.0" is registered and not in memory/),
    ])
    await registry.remove('idle')
  })

  it('are found by words, tags and meaning; a wrong parameter is refused', async () => {
    const find = async (query: string) =>
      (await fetchBody(`/v1/registry?${query}`)).body.data.map((one: Body) => one.id)
    expect(await find('text=secur')).toEqual(['security'])
    expect(await find('tag=none')).toEqual([])
    expect(await find('reference=coder@stable')).toEqual(['coder'])
    expect((await find('meaning=a%20story')).toSorted()).toEqual(['coder', 'security'])
    const { status, body } = await fetchBody('/v1/registry?txt=a')
    expect([status, body.error.code]).toEqual([400, 'unknown_parameter'])
  })

  it('keep to the bytes; the longest unused goes, and comes again when it is asked for', async () => {
    const { sizeBytes } = await registry.resolve('coder')
    const small = await start({ registryBytes: Math.floor(1.5 * sizeBytes) })
    const first = await answer('coder@1.0.0', {}, small)
    const both = await answer('coder@1.0.0+coder@1.2.0', {}, small) // more than the bytes: in use
    await answer('security', {}, small)
    expect(await listResident(small)).toEqual(['security@0.3.1'])
    expect(await answer('coder@1.0.0', {}, small)).toBe(first)
    expect(await answer('coder@1.0.0+coder@1.2.0', {}, small)).toBe(both)
    await small.close()
  })
})

describe('one content', () => {
  it('has its root digest as the key of its cache, whatever it is called', async () => {
    const prompt = 'Lily and Tom went to the park to play with the big red ball. '.repeat(6)
    await registry.add(join(folder, 'seed-5'), { id: 'one', version: '1.0.0' })
    await registry.add(join(folder, 'seed-5'), { id: 'other', version: '7.0.0' })
    const louder = await makeFolder('louder', 5)
    const config = JSON.parse(await readFile(join(louder, 'adapter_config.json'), 'utf8'))
    config.lora_alpha *= 2
    await writeFile(join(louder, 'adapter_config.json'), JSON.stringify(config))
    await registry.add(louder, { version: '1.0.0' })
    const noted = await makeFolder('noted', 5, {})
    await registry.add(noted)
    const cached = async (model: string): Promise<number> =>
      (await complete(model, { prompt, max_tokens: 2 })).body.usage.prompt_tokens_details
        .cached_tokens
    expect([await cached('one'), await cached('louder'), await cached('noted')]).toEqual([0, 0, 0])
    expect(await cached('other')).toBeGreaterThan(64)
    const { data } = (await fetchBody('/v1/experts')).body
    const keyOf = (id: string) => data.find((one: Body) => one.id === id).key
    const { hash } = await registry.resolve('one')
    expect([keyOf('one@1.0.0'), keyOf('other@7.0.0')]).toEqual([hash, hash])
    expect(keyOf('by-path-1')).toBe((await registry.resolve('coder@1.0.0')).hash)
    expect(keyOf('louder@1.0.0')).toBe((await registry.resolve('louder')).hash)
  })
})

describe('a version that is published while the server runs', () => {
  it('answers the next request, and no answer is lost or mixed', async () => {
    await registry.add(join(folder, 'seed-1'), {
      id: 'live',
      version: '1.0.0',
      channels: ['stable'],
    })
    const texts = [await answer('by-path-1'), await answer('by-path-2')]
    const seen: string[] = []
    const over = new AbortController()
    const asking = Array.from({ length: 4 }, async () => {
      while (!over.signal.aborted) seen.push(await answer('live@stable'))
    })
    while (seen.length < 8) await sleep(5)
    await registry.add(join(folder, 'seed-2'), { id: 'live', version: '1.1.0' })
    for (const version of ['1.1.0', '1.0.0', '1.1.0', '1.0.0', '1.1.0']) {
      await registry.setChannel('live', 'stable', version)
      const { choices } = (await complete('live@stable', { max_tokens: 1 })).body
      const expected = texts[version === '1.1.0' ? 1 : 0]!
      expect(expected.startsWith(choices[0].text)).toBe(true)
      expect(await answer('live@stable')).toBe(expected)
    }
    over.abort()
    await Promise.all(asking)
    expect(seen.filter((text) => !texts.includes(text))).toEqual([])
    expect(new Set(seen).size).toBe(2)
  })

  it('is loaded ahead where its channel was asked for; one that is removed goes', async () => {
    await registry.add(join(folder, 'seed-6'), {
      id: 'ahead',
      version: '1.0.0',
      channels: ['stable'],
    })
    await answer('ahead@stable')
    await registry.add(await makeFolder('ahead-2', 4), {
      id: 'ahead',
      version: '2.0.0',
      channels: ['stable'],
    })
    const begin = performance.now()
    while (!(await listResident()).includes('ahead@2.0.0')) await sleep(2)
    expect(performance.now() - begin).toBeLessThan(2000)
    await registry.remove('ahead@1.0.0')
    while ((await listResident()).includes('ahead@1.0.0')) await sleep(5)
    expect(await answer('ahead@stable')).not.toBe(await answer('stories260k'))
  })
})

describe('what is refused', () => {
  it('is content that was changed after it was added, by name; the pool stays', async () => {
    await registry.add(await makeFolder('damaged', 3, {}), { version: '1.0.0' })
    const found = await registry.resolve('damaged')
    const file = join(found.location, 'adapter_config.json')
    await writeFile(file, (await readFile(file, 'utf8')).replace('8', '9'))
    const before = await listResident()
    const { status, body } = await complete('damaged')
    expect([status, body.error.code]).toEqual([403, 'not_trusted'])
    expect(body.error.message).toMatch(/"damaged@1\.0\.0" .* expected sha256:/)
    expect(body.error.message).not.toContain(folder)
    expect(await listResident()).toEqual(before)
    await registry.remove('damaged')
  })

  it('is an expert of another base', async () => {
    const other = await makeFolder('of-other', 4, { base: { id: 'smollm2-135m-instruct' } })
    await registry.add(other)
    const hashed = { base: { id: 'mine', sha256: 'a'.repeat(64) } }
    await registry.add(await makeFolder('of-hash', 4, hashed))
    const digested = { base: { id: './mine', digest: 'a'.repeat(64) } }
    await registry.add(await makeFolder('of-digest', 4, digested))
    for (const [name, message] of [
      ['of-other', /trained on another base.*smollm2-135m-instruct/s],
      ['of-hash', /was trained on another base.*"mine"/s],
      ['of-digest', /trained on another base.*expected sha256:aaaa/s],
    ] as const) {
      const { status, body } = await complete(name)
      expect([status, body.error.code]).toEqual([400, 'does_not_fit'])
      expect(body.error.message).toMatch(message)
    }
    for (const name of ['of-other', 'of-hash', 'of-digest']) await registry.remove(name)
  })

  it('is a name with @ for an expert that a request loads', async () => {
    const loading = server.service.loadExpert({ name: 'x@1.0.0', path: 'seed-1' })
    await expect(loading).rejects.toThrow(/means a version of an expert in the registry/)
  })
})

describe('a router over a registry', () => {
  const rules = [
    { expert: 'coder', terms: ['function'] },
    { expert: 'security', terms: ['attack'] },
  ]
  const writeRouter = async (sha256: string): Promise<string> => {
    const experts = [{ name: 'coder', sha256 }, { name: 'security' }]
    const router = await createRouter({ kind: 'keyword', experts, options: { rules } })
    const path = join(folder, 'router.json')
    await writeFile(path, JSON.stringify(router.save()))
    return path
  }

  it('loads the version that it was trained for when it chooses it first', async () => {
    const { hash } = await registry.resolve('coder@1.0.0')
    const routed = await start({ router: await writeRouter(hash) })
    try {
      expect(await listResident(routed)).toEqual([])
      for (const [prompt, model, byPath] of [
        ['A function about', 'coder@1.0.0', 'by-path-1'],
        ['An attack upon', 'security@0.3.1', 'by-path-3'],
        ['A function of', 'coder@1.0.0', 'by-path-1'],
      ] as const) {
        const { body } = await complete('auto', { prompt }, routed)
        expect([body.model, body.route.expert]).toEqual([model, model])
        expect(body.choices[0].text).toBe(await answer(byPath, { prompt }))
      }
      expect(await listResident(routed)).toEqual(['coder@1.0.0', 'security@0.3.1'])
      const none = await complete('auto', { prompt: 'Hello' }, routed)
      expect([none.body.model, none.body.route.expert]).toEqual(['stories260k', null])
    } finally {
      await routed.close()
    }
    const changed = start({ router: await writeRouter('a'.repeat(64)) })
    await expect(changed).rejects.toThrow(/other experts.*coder.*aaaaaaaaaaaa/s)
  })
})

describe('--require-signed', () => {
  let keyFile: string
  beforeAll(async () => {
    const { privatePem, publicPem } = await createKeyPair()
    keyFile = join(folder, 'public.pem')
    await writeFile(keyFile, publicPem)
    await writeFile(join(folder, 'private.pem'), privatePem)
    const other = await createKeyPair()
    await writeFile(join(folder, 'other.pem'), other.privatePem)
  })
  const sign = async (name: string, seed: number, key = 'private.pem'): Promise<string> => {
    const path = await makeFolder(name, seed)
    await signFolder(path, join(folder, key))
    return path
  }

  it('loads what a trusted key signed, and refuses everything else by name', async () => {
    await registry.add(await sign('signed', 4), { version: '1.0.0' })
    await registry.add(await sign('by-other', 5, 'other.pem'), { version: '1.0.0' })
    const extra = await sign('extra', 6)
    await writeFile(join(extra, 'notes.txt'), 'nobody signed this')
    await registry.add(extra, { version: '1.0.0' })
    const changed = await sign('changed', 6)
    await writeFile(join(changed, 'graft.json'), '{"version":1,"base":"stories260k"}')
    await registry.add(changed, { version: '1.0.0' })
    const guarded = await start({ requireSigned: [keyFile] })
    expect(await answer('signed', {}, guarded)).not.toBe(await answer('stories260k', {}, guarded))
    for (const [name, message] of [
      ['coder', /"coder@1\.2\.0".* is not signed/],
      ['by-other', /"by-other@1\.0\.0".* not by a trusted key/],
      ['extra', /"notes\.txt": was not signed/],
      ['changed', /"graft\.json": was not signed/],
    ] as const) {
      const { status, body } = await complete(name, {}, guarded)
      expect([status, body.error.code]).toEqual([403, 'not_trusted'])
      expect(body.error.message).toMatch(message)
    }
    expect(await listResident(guarded)).toEqual(['signed@1.0.0'])
    await guarded.close()
  })

  it('holds for experts from the start, and needs keys that are keys', async () => {
    const unsigned = start({
      requireSigned: [keyFile],
      adapters: [{ name: 'x', path: join(folder, 'seed-1') }],
    })
    await expect(unsigned).rejects.toThrow(/seed-1: is not signed/)
    await expect(start({ requireSigned: [join(folder, 'private.pem')] })).rejects.toThrow(
      /a "PUBLIC KEY"/,
    )
    await expect(start({ requireSigned: [join(folder, 'none.pem')] })).rejects.toThrow(
      /none\.pem: cannot be read/,
    )
  })
})

// Users of a server: their tiers act in the shared batch, feedback by response id, and what is
// forgotten is forgotten everywhere.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createMemoryStore } from '../../src/learn/store/memory-store.ts'
import type { UserStore } from '../../src/learn/store/user-store.ts'
import { openSqliteStore } from '../../src/node/stores/sqlite-store.ts'
import { ask, createNoisyExpert, openTestServer, type TestServer } from '../support/server.ts'

const prompt = 'Once upon a time there was a dog called'
const completion = ' Bartholomew the Great.'

let store: UserStore
let tested: TestServer
const open = async (given: UserStore): Promise<TestServer> => {
  const server = await openTestServer({ learningStore: given })
  await server.engine.registerAdapter('noisy', createNoisyExpert(server.model, 5))
  return server
}
beforeEach(async () => {
  store = createMemoryStore()
  tested = await open(store)
})
afterEach(() => tested.close())

interface Completion {
  readonly id: string
  readonly text: string
}

async function complete(user: string | undefined, given: object = {}): Promise<Completion> {
  const body = { prompt, max_tokens: 12, temperature: 0, user, ...given }
  const { status, body: answer } = await ask(tested, '/v1/completions', body)
  expect(status, JSON.stringify(answer)).toBe(200)
  return { id: answer.id, text: answer.choices[0].text }
}

/** Teaches a user until the answer is the completion. */
async function teach(user: string, given: object = {}): Promise<string[]> {
  const ids: string[] = []
  for (let i = 0; i < 8; i++) {
    const { id } = await complete(user, given)
    const { status } = await ask(tested, '/v1/feedback', { id, correction: completion })
    expect(status).toBe(200)
    ids.push(id)
  }
  return ids
}

describe('a user who corrects answers', () => {
  it('is answered as taught, and nobody else is', async () => {
    const before = await complete(undefined)
    await teach('ada')
    const [ada, eve, nobody] = await Promise.all([
      complete('ada'),
      complete('eve'),
      complete(undefined),
    ])
    expect(ada.text).toContain('Bartholomew')
    expect([eve.text, nobody.text]).toEqual([before.text, before.text])
  })

  it('teaches one expert, and not the base', async () => {
    const model = 'noisy'
    const before = await complete('ada', { model })
    expect(before.text).not.toBe((await complete('ada')).text)
    await teach('ada', { model })
    expect((await complete('ada', { model })).text).toContain('Bartholomew')
    expect((await complete('ada')).text).not.toContain('Bartholomew')
    const { body } = await ask(tested, '/v1/users/ada')
    expect(body.experts.map(({ expert }: { expert: string | null }) => expert)).toEqual([
      null,
      'noisy',
    ])
  })

  it('is answered by chat and in several copies too; each copy can be rated', async () => {
    const { body } = await ask(tested, '/v1/chat/completions', {
      messages: [{ role: 'user', content: 'A dog' }],
      n: 3,
      max_tokens: 6,
      user: 'ada',
    })
    for (const index of [0, 1, 2]) {
      const rated = await ask(tested, '/v1/feedback', { id: body.id, index, feedback: 'up' })
      expect([rated.status, rated.body.user, rated.body.index]).toEqual([200, 'ada', index])
    }
    const again = await ask(tested, '/v1/feedback', { id: body.id, index: 1, feedback: 'up' })
    expect([again.status, again.body.error.type]).toEqual([404, 'not_found_error'])
  })
})

describe('feedback is refused', () => {
  it.each([
    [{}, 400, 'id'],
    [{ id: 'x' }, 400, 'feedback'],
    [{ id: 'x', feedback: 'sideways' }, 400, 'feedback'],
    [{ id: 'x', quality: 2 }, 400, 'quality'],
    [{ id: 'x', quality: 1, correction: 'a' }, 400, 'correction'],
    [{ id: 'x', feedback: 'up', stars: 5 }, 400, 'stars'],
    [{ id: 'cmpl-unknown', feedback: 'up' }, 404, null],
  ])('%j', async (body, status, param) => {
    const answer = await ask(tested, '/v1/feedback', body)
    expect([answer.status, answer.body.error.param]).toEqual([status, param])
  })
  it('for a response without a user, with what to do', async () => {
    const { id } = await complete(undefined)
    const { status, body } = await ask(tested, '/v1/feedback', { id, feedback: 'up' })
    expect([status, body.error.message]).toEqual([404, expect.stringContaining('names a "user"')])
  })
  it('where the server does not learn', async () => {
    const deaf = await openTestServer()
    const { status, body } = await ask(deaf, '/v1/feedback', { id: 'x', feedback: 'up' })
    expect([status, body.error.code]).toEqual([400, 'learning_off'])
    await deaf.close()
  })
})

describe('a user who is forgotten', () => {
  it('is a stranger: shown nowhere, answered as before, nothing cached', async () => {
    const before = await complete(undefined)
    await teach('ada')
    await ask(tested, '/v1/users/ada', undefined, { method: 'DELETE' })
    expect((await ask(tested, '/v1/users/ada')).status).toBe(404)
    expect((await ask(tested, '/v1/users')).body.data).toEqual([])
    expect((await complete('ada')).text).toBe(before.text)
    expect(await store.list('ada')).toEqual([])
  })

  it('loses one turn: the rest is what would be there without it', async () => {
    const reference = await open(createMemoryStore())
    const rate = async (server: TestServer, id: string) =>
      ask(server, '/v1/feedback', { id, correction: completion })
    const send = async (server: TestServer, text: string) =>
      (
        await ask(server, '/v1/completions', {
          prompt: text,
          max_tokens: 4,
          temperature: 0,
          user: 'ada',
        })
      ).body.id
    const secret = await send(tested, 'My password is')
    await ask(tested, '/v1/feedback', { id: secret, correction: ' zebra seventeen.' })
    for (const server of [tested, reference]) await rate(server, await send(server, prompt))
    const { body } = await ask(tested, '/v1/users/ada/forget', { id: secret })
    expect(body).toMatchObject({ object: 'user.forgotten', responses: [secret], relearned: 1 })
    const turnsOf = async (server: TestServer) =>
      (await ask(server, '/v1/users/ada/export')).body.turns.map(
        ({ prompt: asked, answer }: { prompt: string; answer: string }) => [asked, answer],
      )
    expect(await turnsOf(tested)).toEqual(await turnsOf(reference))
    expect(JSON.stringify(await turnsOf(tested))).not.toContain('zebra')
    const probe = { prompt, max_tokens: 1, temperature: 0, logprobs: 5, user: 'ada' }
    const logprobsOf = async (server: TestServer) =>
      (await ask(server, '/v1/completions', probe)).body.choices[0].logprobs.token_logprobs
    expect(await logprobsOf(tested)).toEqual(await logprobsOf(reference))
    await reference.close()
  })
})

it('what is kept under an expert is shown as soon as the expert is loaded, and said before', async () => {
  const ids = await teach('ada', { model: 'noisy' })
  const last = await complete('ada', { model: 'noisy' })
  await tested.close()
  tested = await openTestServer({ learningStore: store })
  const expertsOf = async () =>
    (await ask(tested, '/v1/users/ada')).body.experts.map(
      ({ expert, loaded }: { expert: string | null; loaded: boolean }) => [expert, loaded],
    )
  const rate = () => ask(tested, '/v1/feedback', { id: last.id, user: 'ada', feedback: 'up' })
  expect(await expertsOf()).toEqual([[null, false]])
  const answers = [await ask(tested, '/v1/users/ada/export'), await rate()]
  expect(answers.map(({ status, body }) => [status, body.error.code])).toEqual([
    [409, 'expert_not_loaded'],
    [409, 'expert_not_loaded'],
  ])
  await tested.engine.registerAdapter('noisy', createNoisyExpert(tested.model, 5))
  expect(await expertsOf()).toEqual([['noisy', true]])
  expect((await ask(tested, '/v1/users/ada/export')).body.turns).toHaveLength(ids.length + 1)
  expect((await rate()).status).toBe(200)
  await tested.engine.unloadAdapter('noisy')
  expect(await expertsOf()).toEqual([[null, false]])
})

describe('a restart', () => {
  let folder: string
  beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'graft-server-users-'))))
  afterEach(() => rmSync(folder, { recursive: true }))

  it('brings users back, and responses that can be rated; bytes of the forgotten are gone', async () => {
    await tested.close()
    const path = join(folder, 'users.db')
    const openAgain = async () => void (tested = await open(await openSqliteStore(path)))
    await openAgain()
    await teach('ada')
    const { id, text } = await complete('ada')
    await tested.close()
    await openAgain()
    expect((await complete('ada')).text).toBe(text)
    const rated = await ask(tested, '/v1/feedback', { id, user: 'ada', feedback: 'up' })
    expect(rated.status, JSON.stringify(rated.body)).toBe(200)
    const ids = tested.model.base.tokenizer!.encode(completion)
    const pattern = Buffer.from(Int32Array.from(ids).buffer)
    const holds = () =>
      readdirSync(folder).some((name) => readFileSync(join(folder, name)).includes(pattern))
    await ask(tested, '/v1/users') // saves
    expect(holds()).toBe(true)
    await ask(tested, '/v1/users/ada', undefined, { method: 'DELETE' })
    expect(holds()).toBe(false)
  })
})

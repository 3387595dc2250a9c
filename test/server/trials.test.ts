// A trial of a new version of a registered expert: which users get it, the effect of votes, and of
// a user's request to be forgotten.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadModel, openRegistry, saveAdapter } from '../../src/node/index.ts'
import {
  findLastTrial,
  getRunningTrial,
  promoteCandidate,
  rollBack,
  startTrial,
} from '../../src/node/registry/trials/conclude-trial.ts'
import { type OpenedTrials, openTrials } from '../../src/node/registry/trials/open-trials.ts'
import { type StartedServer, startServer } from '../../src/node/serve/start-server.ts'
import type { Registry } from '../../src/registry/registry.ts'
import { createNoisyExpert } from '../support/server.ts'

let folder: string
let registry: Registry
let opened: OpenedTrials
let server: StartedServer

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-tried-'))
  const model = await loadModel('stories260k')
  for (const seed of [1, 2]) {
    const adapter = createNoisyExpert(model, seed)
    await saveAdapter({ ...adapter, baseModel: 'stories260k' }, join(folder, `seed-${seed}`))
  }
  await model.dispose()
  registry = await openRegistry(join(folder, 'registry'))
  await registry.add(join(folder, 'seed-1'), { id: 'coder', version: '1.0.0' })
  await registry.add(join(folder, 'seed-2'), { id: 'coder', version: '1.1.0-rc.1' })
  opened = await openTrials(registry.location)
  server = await startServer({
    model: 'stories260k',
    port: 0,
    isolation: 'none',
    state: 'memory',
    log: 'off',
    registry: registry.location,
  })
})
afterAll(async () => {
  await server.close()
  await opened.close()
  await registry.close()
  await rm(folder, { recursive: true })
})

type Body = ReturnType<typeof JSON.parse>
async function send(method: string, path: string, body?: object): Promise<Body> {
  const response = await fetch(`${server.url}${path}`, {
    method,
    ...(body && { body: JSON.stringify(body) }),
  })
  return { status: response.status, ...((await response.json()) as Body) }
}
const complete = (user: string, model = 'coder'): Promise<Body> =>
  send('POST', '/v1/completions', {
    model,
    user,
    prompt: 'Once upon a time',
    max_tokens: 8,
    temperature: 0,
  })
const vote = (id: string, feedback: 'up' | 'down'): Promise<Body> =>
  send('POST', '/v1/feedback', { id, feedback })

const users = Array.from({ length: 16 }, (_, i) => `user-${i}`)

/** Users ask and vote for one of the two versions, until the trial ends. */
async function poll(likes: 'candidate' | 'incumbent', candidate: string): Promise<void> {
  for (const user of users) {
    if (!(await opened.trials.findRunning('coder'))) return
    const { id, model } = await complete(user)
    const isCandidate = model === `coder@${candidate}`
    const outcome = await vote(id, isCandidate === (likes === 'candidate') ? 'up' : 'down')
    expect(outcome.status).toBe(200)
  }
}

describe('a trial in a server', () => {
  it('answers a share of the requests, the same version for the same user', async () => {
    expect((await complete('user-0')).model).toBe('coder')
    const trial = await startTrial(
      'coder@1.1.0-rc.1',
      { registry, opened },
      { share: 0.5, leastVoters: 4 },
    )
    expect(trial).toMatchObject({ incumbent: '1.0.0', candidate: '1.1.0-rc.1', state: 'running' })
    const models = []
    for (const user of users) models.push((await complete(user)).model)
    expect(new Set(models)).toEqual(new Set(['coder@1.0.0', 'coder@1.1.0-rc.1']))
    expect((await complete('user-0')).model).toBe(models[0])
    // who asks for a version or a range is no part of it
    expect((await complete('user-0', 'coder@1.0.0')).model).toBe('coder@1.0.0')
    expect((await complete('user-0', 'coder@^1.0')).model).toBe('coder@^1.0')
    await expect(startTrial('coder@1.1.0-rc.1', { registry, opened })).rejects.toThrow(
      /being tried since/,
    )
  })

  it('ends by itself where votes call the new version worse', async () => {
    await poll('incumbent', '1.1.0-rc.1')
    expect(await opened.trials.findRunning('coder')).toBeUndefined()
    const last = (await opened.trials.list('coder')).at(-1)!
    expect([last.state, last.reason]).toEqual(['rolled-back', 'Votes: 0.000 against 1.000.'])
    expect((await complete('user-0')).model).toBe('coder')
    const places = { registry, opened }
    await expect(findLastTrial('coder', places)).rejects.toThrow(
      /: 1\.1\.0-rc\.1 was rolled back already\. Votes: 0\.000 against 1\.000\.$/,
    )
    await expect(getRunningTrial('coder', places)).rejects.toThrow(/graft experts shadow coder@/)
    await expect(getRunningTrial('codr', places)).rejects.toThrow(/no expert "codr".*coder/)
    await expect(findLastTrial('coder@1.0.0', places)).rejects.toThrow(/without a version: coder\./)
  })

  it('is promoted under a release, and taken back by the next patch version', async () => {
    const places = { registry, opened }
    const trial = await startTrial('coder@1.1.0-rc.1', places, { share: 0.5, leastVoters: 4 })
    await poll('candidate', '1.1.0-rc.1')
    const promoted = await promoteCandidate(trial, places, 'Better.')
    expect(promoted).toMatchObject({ state: 'promoted', released: '1.1.0' })
    const before = await registry.resolve('coder@1.0.0')
    expect((await registry.resolve('coder')).channels).toEqual(['stable'])
    expect((await complete('user-0', 'coder@stable')).status).toBe(200)
    await rollBack(await findLastTrial('coder', places), places, 'Canaries fell.')
    const again = await registry.resolve('coder@stable')
    expect([again.version, (await registry.resolve('coder')).version]).toEqual(['1.1.1', '1.1.1'])
    expect(again.sizeBytes).toBe(before.sizeBytes)
  })

  it('ends, and its version goes, where a user it learned from is forgotten', async () => {
    const user = opened.improvements.hideUser('user-3')
    const made = { version: '1.2.0-rc.1', root: '1.1.1', parent: '1.1.1', store: 's' }
    await opened.improvements.add('coder', made, [{ user, expert: 'e', turn: 0, place: 0 }])
    await registry.add(join(folder, 'seed-2'), { id: 'coder', version: '1.2.0-rc.1' })
    await startTrial('coder@1.2.0-rc.1', { registry, opened })
    const { id } = await complete('user-3')
    await vote(id, 'up')
    expect(await send('DELETE', '/v1/users/user-4')).toMatchObject({ deleted: true })
    expect(await opened.trials.findRunning('coder')).toBeDefined()
    expect(await send('DELETE', '/v1/users/user-3')).toMatchObject({ deleted: true })
    const last = (await opened.trials.list('coder')).at(-1)!
    expect(last.reason).toContain('asked to be forgotten')
    expect(await opened.trials.listVotes(last.number)).toEqual([])
    await expect(registry.resolve('coder@1.2.0-rc.1')).rejects.toThrow(/has no version/)
    expect((await complete('user-3')).status).toBe(200)
  })
})

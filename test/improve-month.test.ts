// A month of users of one expert, from the first correction to a better version that is released: two
// improvements, a user who asks to be forgotten between them, and canaries that fall at the end.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createAdapter, loadModel, openRegistry, saveAdapter } from '../src/node/index.ts'
import { improveExpert, type ImproveReport } from '../src/node/improve/improve-expert.ts'
import { startTrial } from '../src/node/registry/trials/conclude-trial.ts'
import { type OpenedTrials, openTrials } from '../src/node/registry/trials/open-trials.ts'
import { type StartedServer, startServer } from '../src/node/serve/start-server.ts'
import { openSqliteStore } from '../src/node/stores/sqlite-store.ts'
import type { Registry } from '../src/registry/registry.ts'
import { jsonl, succeed } from './support/cli.ts'
import {
  createTeller,
  describePlaces,
  improveHere,
  killImprovement,
  usePlaces,
  voteForCandidate,
} from './support/improve-places.ts'

let folder: string
let registry: Registry
let opened: OpenedTrials
let server: StartedServer
const at = (name: string): string => join(folder, name)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'graft-month-'))
  const model = await loadModel('stories260k')
  const adapter = await createAdapter('lora', { rank: 8, targets: 'all-linear' }, model)
  await saveAdapter({ ...adapter, baseModel: 'stories260k' }, at('first'))
  await model.dispose()
  registry = await openRegistry(at('registry'))
  await registry.add(at('first'), { id: 'teller', version: '1.0.0', channels: ['stable'] })
  opened = await openTrials(registry.location)
  server = await startServer({
    model: 'stories260k',
    port: 0,
    isolation: 'none',
    state: at('state'),
    log: 'off',
    learn: true,
    registry: registry.location,
  })
})
afterAll(async () => {
  await server.close()
  await opened.close()
  await registry.close()
  rmSync(folder, { recursive: true })
})

type Body = ReturnType<typeof JSON.parse>
async function send(method: string, path: string, body?: object): Promise<Body> {
  const response = await fetch(`${server.url}${path}`, {
    method,
    ...(body && { body: JSON.stringify(body) }),
  })
  const answer = (await response.json()) as Body
  expect(response.status, JSON.stringify(answer)).toBe(200)
  return answer
}

const names = 'Lily Tom Sue Max Anna Sam Mia Ben Lucy Tim Jack Amy Bob Kate Leo Zoe'.split(' ')
const wanted = (name: string): string => ` ${name} saw a cat. The end.`
const ask = (user: string, name: string, model = 'teller@stable'): Promise<Body> =>
  send('POST', '/v1/completions', {
    model,
    user,
    prompt: `${name}:`,
    max_tokens: 12,
    temperature: 0,
  })

let asked = 0
/** Users who come once: each asks twice, thanks for what is right, and corrects what is not. */
async function liveDay(day: number, users = 4): Promise<number> {
  let right = 0
  for (let i = 0; i < users; i++) {
    const user = `user-${day}-${i}`
    for (let turn = 0; turn < 2; turn++) {
      const name = names[asked++ % names.length]!
      const { id, choices } = await ask(user, name)
      const isRight = choices[0].text.startsWith(wanted(name).slice(0, -9))
      if (isRight) right++
      const said = isRight ? { feedback: 'up' } : { correction: wanted(name) }
      await send('POST', '/v1/feedback', Object.assign({ id, user }, said))
    }
  }
  return right / (2 * users)
}

async function improve(options: object = {}): Promise<ImproveReport> {
  const store = await openSqliteStore(at('state/users.db'))
  try {
    const settings = { share: 0.5, leastVoters: 5, epochs: 8, learningRate: 5e-3, leastRows: 40 }
    return await improveExpert('teller', { registry, opened, store }, { ...settings, ...options })
  } finally {
    await store.close()
  }
}

const stable = async (): Promise<string> => (await registry.resolve('teller@stable')).version

it(
  'of feedback makes a better expert, twice, and forgets a user between',
  { timeout: 280_000 },
  async () => {
    writeFileSync(
      at('canaries.jsonl'),
      jsonl([{ prompt: 'Once upon a time', completion: ', there was a little girl named Lily.' }]),
    )
    const actions: string[] = []
    const shares: number[] = []
    let forgottenOn = 0
    let firstRelease = ''
    for (let day = 1; day <= 30; day++) {
      shares.push(await liveDay(day))
      if (day === 2) {
        const { id } = await ask('ada', 'Lily')
        await send('POST', '/v1/feedback', { id, user: 'ada', correction: ' Lily hid a zebra.' })
      }
      if (day < 6) continue
      const [night, second] = await Promise.allSettled([improve(), improve()])
      const refused = [night, second].filter(({ status }) => status === 'rejected')
      expect(refused).toHaveLength(1)
      expect(String((refused[0] as PromiseRejectedResult).reason)).toContain(
        'is already being improved',
      )
      const done = [night, second].find(({ status }) => status === 'fulfilled')
      const report = (done as PromiseFulfilledResult<ImproveReport>).value
      actions.push(report.action)
      expect(report.withdrawn).toEqual([])
      if (report.action !== 'promoted') continue
      if (forgottenOn > 0) break // released again, without her
      firstRelease = await stable()
      forgottenOn = day
      await send('DELETE', '/v1/users/ada')
      // what had learned from her is gone at once, and the version before answers
      expect(await stable()).toBe('1.0.0')
      const versions = (await registry.list('teller')).map(({ version }) => version)
      expect(versions).toEqual(['1.0.0'])
    }
    expect(firstRelease).toBe('1.1.0')
    expect(actions.filter((action) => action === 'promoted')).toHaveLength(2)
    expect(actions.filter((action) => action === 'shadowed')).toHaveLength(2)
    // nobody was answered well at first; now everybody who asks the released version is
    expect(shares[0]).toBeLessThan(0.2)
    const { version } = await registry.resolve('teller@stable')
    expect(version).toBe('1.1.0')
    let right = 0
    for (const name of names) {
      const { choices } = await ask(`new-${name}`, name)
      if (choices[0].text.startsWith(wanted(name).slice(0, -9))) right++
    }
    expect(right / names.length).toBeGreaterThan(0.8)
    // nothing of her is in what the released version learned from, or in what is kept
    const sources = await opened.improvements.listSources('teller', version)
    expect(sources.length).toBeGreaterThan(40)
    const ada = opened.improvements.hideUser('ada')
    expect(sources.filter(({ user }) => user === ada)).toEqual([])
    const { stdout } = await succeed([
      ...['learn', 'export', '--store', at('state/users.db'), '--model', 'stories260k'],
      ...['--as', 'pairs'],
    ])
    expect(stdout).toMatch(/"chosen":" \w+ saw a cat\. The end\."/)
    expect(stdout).not.toContain('zebra')
  },
)

it('takes a version back whose canaries fall', { timeout: 60_000 }, async () => {
  const model = await loadModel('stories260k')
  const adapter = await createAdapter('lora', { rank: 8, targets: 'all-linear' }, model)
  await model.dispose()
  // it answers as the base does, so it has lost what the stable one learned
  await saveAdapter({ ...adapter, baseModel: 'stories260k' }, at('worse'))
  await registry.add(at('worse'), { id: 'teller', version: '2.0.0-rc.1' })
  await startTrial('teller@2.0.0-rc.1', { registry, opened })
  const rows = names.map((name) => ({ prompt: `${name}:`, completion: wanted(name) }))
  writeFileSync(at('learned.jsonl'), jsonl(rows))
  const before = await stable()
  const report = await improve({ canaries: at('learned.jsonl') })
  expect([report.action, report.trial?.state]).toEqual(['rolled-back', 'rolled-back'])
  expect(report.summary).toMatch(/is withdrawn. Canaries fell: \d/)
  expect(await stable()).toBe(before)
})

// The other steps are in improve-killed.long.test.ts.
it('a release that is killed goes on with the next call', { timeout: 120_000 }, async () => {
  const to = at('killed')
  await createTeller(to)
  await usePlaces(to, async (places) => {
    const made = { version: '1.1.0-rc.1', root: '1.0.0', parent: '1.0.0', store: 'users' }
    await places.opened.improvements.add('teller', made, [])
    await places.registry.add(join(to, 'first'), { id: 'teller', version: made.version })
    await startTrial('teller@1.1.0-rc.1', places, { leastVoters: 5 })
  })
  await voteForCandidate(to)
  await killImprovement(to, 'after registry.add', { leastVoters: 5 })
  const killed = await describePlaces(to)
  expect(killed).toMatchObject({ stable: '1.0.0', trials: [['1.1.0-rc.1', 'running', undefined]] })
  expect((await improveHere(to, { leastVoters: 5 })).action).toBe('promoted')
  expect(await describePlaces(to)).toMatchObject({
    versions: ['1.0.0', '1.1.0', '1.1.0-rc.1'],
    stable: '1.1.0',
    trials: [['1.1.0-rc.1', 'promoted', '1.1.0']],
  })
})

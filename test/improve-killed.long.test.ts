// Improvements that are killed at each step that changes anything: the served expert is always
// complete, and the same command then ends like an uninterrupted one.

import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openSqliteStore } from '../src/node/stores/sqlite-store.ts'
import { splitScope } from '../src/server/learning/scoped-store.ts'
import { graft, jsonl, succeed } from './support/cli.ts'
import {
  createTeller,
  describePlaces,
  improveHere,
  killImprovement,
  spawnImprovement,
  voteForCandidate,
} from './support/improve-places.ts'

let folder: string
const at = (...parts: string[]): string => join(folder, ...parts)
/** Where all improvements happen, because a version knows its users by the path of their file. */
const work = (): string => at('work')
function copyState(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true })
  cpSync(from, to, { recursive: true })
}
const canaries = (): string => at('canaries.jsonl')
const names = 'Lily Tom Sue Max Anna Sam Mia Ben'.split(' ')
const settings = { leastVoters: 5, leastRows: 12, epochs: 12, learningRate: 5e-3, held: 0.3 }

/** Users who corrected the answers to every name. */
async function teach(state: string, user: string): Promise<void> {
  const rows = names.map((name) => ({
    prompt: `${name} and ${user}:`,
    completion: ` ${name} saw a cat. The end.`,
  }))
  writeFileSync(at('rows.jsonl'), jsonl(rows))
  const where = ['--store', join(state, 'users.db'), '--model', 'stories260k']
  const who = ['--user', user, '--adapter', 'teller@stable', '--data', at('rows.jsonl')]
  const environment = { GRAFT_REGISTRY: join(state, 'registry') }
  await succeed(['learn', ...where, ...who], { environment })
}

async function forget(state: string, user: string): Promise<void> {
  const store = await openSqliteStore(join(state, 'users.db'))
  for (const name of await store.users())
    if (splitScope(name).user === user) await store.forget(name)
  await store.close()
}

interface State {
  /** What each improvement of it is called with. */
  readonly options: () => object
  readonly steps: readonly string[]
  /** The versions of which one may be stable while it is unfinished. */
  readonly stable: readonly string[]
  readonly end: object
  /** The state whose improvement it begins with. */
  readonly after: string | undefined
  readonly prepare: (state: string) => Promise<unknown>
}

const aroundEach = (...calls: string[]): string[] =>
  calls.flatMap((call) => [`before ${call}`, `after ${call}`])

const states: Readonly<Record<string, State>> = {
  trains: {
    options: () => settings,
    steps: ['training', ...aroundEach('improvements.add', 'registry.add', 'trials.start')],
    stable: ['1.0.0'],
    end: {
      versions: ['1.0.0', '1.1.0-rc.1'],
      stable: '1.0.0',
      trials: [['1.1.0-rc.1', 'running', undefined]],
      improvements: ['1.1.0-rc.1'],
    },
    after: undefined,
    async prepare(state) {
      await createTeller(state)
      await teach(state, 'ada')
      await teach(state, 'eve')
    },
  },
  promotes: {
    options: () => settings,
    steps: aroundEach('improvements.copy', 'registry.add', 'registry.setChannel', 'trials.end'),
    stable: ['1.0.0', '1.1.0'],
    end: {
      versions: ['1.0.0', '1.1.0', '1.1.0-rc.1'],
      stable: '1.1.0',
      trials: [['1.1.0-rc.1', 'promoted', '1.1.0']],
      improvements: ['1.1.0', '1.1.0-rc.1'],
    },
    after: 'trains',
    prepare: (state) => voteForCandidate(state),
  },
  forgets: {
    options: () => settings,
    steps: aroundEach(
      'trials.end',
      'registry.setChannel',
      'registry.remove',
      'improvements.remove',
    ),
    stable: ['1.0.0', '1.1.0'],
    end: {
      versions: ['1.0.0'],
      stable: '1.0.0',
      trials: [['1.1.0-rc.1', 'rolled-back', '1.1.0']],
      improvements: [],
    },
    after: 'promotes',
    prepare: (state) => forget(state, 'ada'),
  },
  'takes back': {
    options: () => Object.assign({ canaries: canaries() }, settings),
    steps: aroundEach('improvements.copy', 'registry.add', 'registry.setChannel', 'trials.end'),
    stable: ['1.1.0', '1.1.1'],
    end: {
      versions: ['1.0.0', '1.1.0', '1.1.0-rc.1', '1.1.1'],
      stable: '1.1.1',
      trials: [['1.1.0-rc.1', 'rolled-back', '1.1.1']],
      improvements: ['1.1.0', '1.1.0-rc.1'],
    },
    after: 'promotes',
    prepare: async () => undefined,
  },
}

async function improveToEnd(options: object, end: object): Promise<void> {
  const { summary } = await improveHere(work(), options)
  expect([summary, await describePlaces(work())]).toEqual([summary, end])
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'graft-killed-'))
  const completion = ' Once upon a time, there was a little girl. She loved to play outside.'
  writeFileSync(canaries(), jsonl([{ prompt: 'Lily and ada:', completion }]))
  for (const [name, { after, prepare, options, end }] of Object.entries(states)) {
    if (after === undefined) mkdirSync(work())
    else copyState(at(`${after} done`), work())
    await prepare(work())
    copyState(work(), at(name))
    await improveToEnd(options(), end)
    copyState(work(), at(`${name} done`))
  }
}, 300_000)
afterAll(() => rmSync(folder, { recursive: true }))

it('a second improvement of the expert is refused', { timeout: 120_000 }, async () => {
  copyState(at('trains'), work())
  const child = spawnImprovement(work(), 'training waits', settings)
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', () => resolve())
    child.on('close', () => reject(new Error('the first improvement has ended')))
  })
  const where = ['--registry', at('work/registry'), '--store', at('work/users.db')]
  const { code, stdout, stderr } = await graft(['improve', 'teller', ...where])
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(/^graft: teller is already being improved by process \d+\.\n$/)
  child.kill('SIGKILL')
  expect((await describePlaces(work())).versions).toEqual(['1.0.0'])
})

describe.each(Object.entries(states))('an improvement that %s', (name, state) => {
  it.each(state.steps)('is killed %s, and resumes', { timeout: 120_000 }, async (step) => {
    copyState(at(name), work())
    await killImprovement(work(), step, state.options())
    expect(state.stable).toContain((await describePlaces(work())).stable)
    await improveHere(work(), state.options())
    expect(await describePlaces(work())).toEqual(state.end)
    expect(readdirSync(at('work/registry/improving'))).toEqual([])
  })
})

// Unlearning one turn: afterwards memory and every byte of the store equal those of a user that
// never learned it.

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { NotFoundError, StorageError } from '../base/errors.ts'
import { createFileStore } from '../node/stores/file-store.ts'
import { openSqliteStore } from '../node/stores/sqlite-store.ts'
import {
  answer,
  canaries,
  story,
  storiesModel,
  type TestModel,
} from '../../test/support/learner.ts'
import { createLearner } from './learner.ts'
import type { Learner } from './learner-calls.ts'
import type { LearnerOptions } from './learner-options.ts'
import { createMemoryStore } from './store/memory-store.ts'
import type { UserStore } from './store/user-store.ts'

let model: TestModel
beforeAll(async () => void (model = await storiesModel()))
afterAll(() => model.dispose())

let directory: string
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), 'graft-unlearn-'))))
afterEach(() => rmSync(directory, { recursive: true }))

const create = (options: Partial<LearnerOptions> = {}): Learner =>
  createLearner({ model, ...options })

const secret = { prompt: 'The password of Bob is', completion: ' zebra umbrella seventeen.' }

async function teach(learner: Learner, stories: readonly number[], user = 'ada'): Promise<void> {
  for (const i of stories) await learner.learn({ user, ...story(i) })
}

/** The losses that show what a user knows, exactly. */
async function probe(learner: Learner, user = 'ada'): Promise<number[]> {
  const losses = []
  for (const turn of [secret, story(0), story(3), story(9)])
    losses.push(await learner.loss({ user, ...turn }))
  return losses
}

describe('unlearning a turn', () => {
  it.each([
    ['the head tier and the memory', {}],
    ['a tier on layers', { fast: { where: { modules: 'mlp', layers: [3, 4] }, rank: 2 } }],
    ['canaries to watch', { canaries, guard: { everyTurns: 2 } }],
  ] as const)('leaves what never learned it: %s', async (_, options) => {
    const learner = create(options as Partial<LearnerOptions>)
    const clean = create(options as Partial<LearnerOptions>)
    await teach(learner, [0, 1, 2])
    const { turn } = await learner.learn({ user: 'ada', ...secret })
    await teach(learner, [3, 4])
    await teach(clean, [0, 1, 2, 3, 4])
    expect((await probe(learner))[0]).toBeLessThan((await probe(clean))[0]! - 0.1)

    expect(await learner.unlearn('ada', turn)).toEqual({
      turns: [turn],
      relearned: 5,
      droppedVersions: [],
    })
    expect(await probe(learner)).toEqual(await probe(clean))
    const figures = await learner.statistics('ada')
    expect(figures).toEqual({ ...(await clean.statistics('ada')), sizeBytes: figures.sizeBytes })
    // and goes on as the other does
    await teach(learner, [5, 6])
    await teach(clean, [5, 6])
    expect(await probe(learner)).toEqual(await probe(clean))
  })

  it('takes back a rated answer, and one that could still be rated', async () => {
    const learner = create()
    const clean = create()
    await teach(learner, [0])
    await teach(clean, [0])
    const rated = await answer(learner, 'ada', 'Once there was')
    await learner.feedback({ user: 'ada', turn: rated.turn, feedback: 'up' })
    const open = await answer(learner, 'ada', 'One day a boy')
    const results = [
      await learner.unlearn('ada', rated.turn),
      await learner.unlearn('ada', open.turn),
    ]
    expect(results.map(({ relearned }) => relearned)).toEqual([1, 0])
    expect(await probe(learner)).toEqual(await probe(clean))
    const rate = learner.feedback({ user: 'ada', turn: open.turn, feedback: 'up' })
    await expect(rate).rejects.toThrow(NotFoundError)
  })

  it('takes later turns of the conversation along, because their prompts contain it', async () => {
    const learner = create()
    const clean = create()
    const text = secret.prompt + secret.completion
    const { turn } = await learner.learn({ user: 'ada', ...secret })
    const next = await learner.learn({
      user: 'ada',
      prompt: `${text} He tells nobody`,
      completion: ' at all.',
    })
    for (const each of [learner, clean]) await teach(each, [1])
    expect((await learner.unlearn('ada', turn)).turns).toEqual([turn, next.turn])
    expect(await probe(learner)).toEqual(await probe(clean))
  })

  it('drops versions of the slow tier that learned it, and keeps earlier ones', async () => {
    const slow = { epochs: 1, rank: 4 }
    const bounds = { bound: 10, least: 0 }
    const learner = create({ slow })
    const clean = create({ slow })
    for (const each of [learner, clean]) {
      await teach(each, [0, 1, 2, 3])
      expect((await each.consolidate('ada', bounds)).kept).toBe(true)
      await teach(each, [4])
    }
    const { turn } = await learner.learn({ user: 'ada', ...secret })
    for (const each of [learner, clean]) await teach(each, [5])
    await learner.consolidate('ada', bounds)
    await teach(learner, [6])
    await teach(clean, [6])
    expect(await learner.unlearn('ada', turn)).toEqual({
      turns: [turn],
      relearned: 3,
      droppedVersions: [2],
    })
    expect((await learner.versions('ada')).map(({ number }) => number)).toEqual([0, 1])
    expect(await probe(learner)).toEqual(await probe(clean))
    const [own, other] = [await learner.statistics('ada'), await clean.statistics('ada')]
    expect([own.learned, own.keptRows]).toEqual([other.learned, other.keptRows])
  })

  it('learns nothing again where what answers now never learned it', async () => {
    const learner = create({ slow: { epochs: 1, rank: 4 } })
    await teach(learner, [0, 1])
    const { turn } = await learner.learn({ user: 'ada', ...secret })
    await learner.restore('ada', 0)
    await teach(learner, [2])
    const before = await probe(learner)
    expect((await learner.unlearn('ada', turn)).relearned).toBe(0)
    expect(await probe(learner)).toEqual(before)
    expect((await learner.statistics('ada')).learned).toBe(3)
  })

  it('reports which turn is not kept or can no longer be separated; nothing has changed', async () => {
    const learner = create({ keptHistory: 3 })
    const { turn } = await learner.learn({ user: 'ada', ...secret })
    await teach(learner, [0])
    const before = await probe(learner)
    await expect(learner.unlearn('ada', 99)).rejects.toThrow(/Turn 99 of user "ada" is not kept/)
    await teach(learner, [1, 2])
    await expect(learner.unlearn('ada', turn)).rejects.toThrow(/1 older turns were learned/)
    await expect(learner.unlearn('ada', 1)).rejects.toThrow(/can no longer be separated/)
    expect(await probe(learner)).not.toEqual(before)
  })
})

it('a user’s cached prompt is read again by that user alone', async () => {
  const learner = create()
  const prompt = `${story(0).prompt}${story(0).completion} `.repeat(3)
  const cached = async (user: string): Promise<number> =>
    (await answer(learner, user, prompt)).end.cachedTokens
  expect([await cached('ada'), (await cached('ada')) > 0, await cached('eve')]).toEqual([
    0,
    true,
    0,
  ])
})

describe('bytes of what was unlearned', () => {
  /** Whether a place's files hold the ids of the secret. */
  const holdsSecret = (): boolean => {
    const ids = model.base.tokenizer!.encode(secret.completion)
    const pattern = Buffer.from(Int32Array.from(ids.slice(0, 6)).buffer)
    const files = readdirSync(directory, { recursive: true }).map((name) =>
      join(directory, String(name)),
    )
    return files.some((file) => statSync(file).isFile() && readFileSync(file).includes(pattern))
  }

  it.each([
    ['files', () => createFileStore(directory)],
    ['SQLite', () => openSqliteStore(join(directory, 'users.db'))],
  ] as const)('are gone from %s, also after a restart', async (_, openStore) => {
    const store: UserStore = await openStore()
    const learner = create({ store })
    await teach(learner, [0])
    const { turn } = await learner.learn({ user: 'ada', ...secret })
    await learner.flush()
    await teach(learner, [1, 2])
    await learner.close()
    expect(holdsSecret()).toBe(true)

    const again = create({ store })
    await again.unlearn('ada', turn)
    expect(holdsSecret()).toBe(false)
    const clean = create()
    await teach(clean, [0, 1, 2])
    expect(await probe(again)).toEqual(await probe(clean))
    const taught = await again.learn({ user: 'ada', ...secret })
    await again.flush()
    expect([holdsSecret(), taught.turn]).toEqual([true, 4])
    await again.forget('ada')
    expect(holdsSecret()).toBe(false)
    await store.close()
  })

  it('remain if the store fails, which is reported; the next save removes them', async () => {
    const inner = createMemoryStore()
    let isFull = false
    const store: UserStore = {
      ...inner,
      put: (...given) => (isFull ? Promise.reject(new StorageError('full')) : inner.put(...given)),
    }
    const learner = create({ store, onProblem: () => undefined })
    const { turn } = await learner.learn({ user: 'ada', ...secret })
    await teach(learner, [1])
    await learner.flush()
    isFull = true
    await expect(learner.unlearn('ada', turn)).rejects.toThrow(StorageError)
    isFull = false
    const clean = create()
    await teach(clean, [1])
    expect(await probe(learner)).toEqual(await probe(clean))
    await learner.flush()
    expect(await inner.list('ada')).toHaveLength(1)
  })

  it('are gone although another process wrote the user meanwhile', async () => {
    const store = createFileStore(directory)
    const [first, second] = [create({ store, onProblem: () => undefined }), create({ store })]
    const { turn } = await first.learn({ user: 'ada', ...secret })
    await first.flush()
    await teach(second, [1])
    await second.flush()
    await first.unlearn('ada', turn)
    expect(holdsSecret()).toBe(false)
    const clean = create()
    await teach(clean, [1])
    expect(await probe(first)).toEqual(await probe(clean))
  })
})

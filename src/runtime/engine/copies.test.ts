// Several answers to one prompt: each equals a separate request, and the prompt is computed once.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { createEngine } from '../create-engine.ts'
import type { Model } from '../model.ts'
import type { Generation } from './answer.ts'
import type { Engine, EngineRequest, EngineSequence } from './engine.ts'
import { readEnd } from './generate.ts'
import { chooseStage, type LogitsStage } from './logits/stage.ts'
import {
  answerAlone,
  countHeld,
  createExperts,
  createPrompt,
  openStories,
} from '../../../test/support/engine.ts'

let model: Model
let experts: Awaited<ReturnType<typeof createExperts>>

beforeAll(async () => {
  model = await openStories()
  experts = await createExperts(model)
})
afterAll(() => model.dispose())

const options = { pieceTokens: 32 }
const request = (name: string, more: Partial<EngineRequest> = {}): EngineRequest => ({
  prompt: createPrompt(75),
  maxTokens: 14,
  adapter: experts[name],
  temperature: 1,
  seed: 7,
  ...more,
})

/** The answers of copies, while the engine runs. */
async function readCopies(engine: Engine, one: EngineRequest, count: number) {
  const copies = await engine.addCopies(one, count)
  void engine.run()
  return Promise.all(copies.map(readEnd))
}

const answerEach = async (one: EngineRequest, count: number): Promise<Generation[]> => {
  const answers: Generation[] = []
  for (let i = 0; i < count; i++)
    answers.push(await answerAlone(model, { ...one, seed: one.seed! + i }, options))
  return answers
}

const contentOf = ({ ids, text, reason }: Generation) => ({ ids, text, reason })

describe('copies of a request', () => {
  it.each(['base', 'first', 'attached', 'dora', 'prompt', 'prefix', 'mixture'])(
    'are as requests with the seeds that follow, and read the prompt once: %s',
    async (name) => {
      const engine = createEngine({ model, ...options })
      const one = request(name, { logprobs: 1, promptLogprobs: 1 })
      const together = await readCopies(engine, one, 3)
      const alone = await answerEach(one, 3)
      expect(together.map(contentOf)).toEqual(alone.map(contentOf))
      expect(new Set(together.map(({ text }) => text)).size).toBe(3)
      expect(together.map(({ tokens }) => tokens!.length)).toEqual([14, 14, 14])
      for (const { promptLogprobs } of together)
        expect(promptLogprobs).toEqual(alone[0]!.promptLogprobs)
      const virtual = { prompt: 8, prefix: 6 }[name] ?? 0
      expect(engine.stats().readTokens).toBe(75 + virtual)
      expect(countHeld(engine)).toEqual([0, 0, 0, 0])
    },
  )

  it('wait for rows where there are too few, and begin with the cached prompt', async () => {
    const engine = createEngine({ model, maxRows: 2, ...options })
    const together = await readCopies(engine, request('first'), 5)
    expect(together.map(contentOf)).toEqual((await answerEach(request('first'), 5)).map(contentOf))
    expect(engine.stats().readTokens).toBeLessThan(75 + 3 * 16)
  })

  it('need no cache', async () => {
    const engine = createEngine({ model, ...options })
    const one = request('first', { cache: false })
    expect((await readCopies(engine, one, 3)).map(contentOf)).toEqual(
      (await answerEach(one, 3)).map(contentOf),
    )
    expect(engine.stats().readTokens).toBe(75)
  })

  it('end one by one when they are cancelled, also the one that reads', async () => {
    for (const cancelled of [0, 1, 2, 3])
      for (const steps of [0, 1, 2, 5]) {
        const engine = createEngine({ model, ...options })
        const copies = await engine.addCopies(request('first'), 4)
        for (let i = 0; i < steps; i++) await engine.step()
        copies[cancelled]!.cancel(new Error('enough'))
        void engine.run()
        const ends = await Promise.allSettled(copies.map(readEnd))
        const expected = (await answerEach(request('first'), 4)).map((alone, i) =>
          i === cancelled ? 'enough' : contentOf(alone),
        )
        expect(
          ends.map((end) =>
            end.status === 'fulfilled' ? contentOf(end.value) : (end.reason as Error).message,
          ),
        ).toEqual(expected)
        // The next one reads anew where the first is cancelled in the middle.
        expect(engine.stats().readTokens).toBeLessThanOrEqual(75 + (cancelled === 0 ? 64 : 0))
        expect(countHeld(engine)).toEqual([0, 0, 0, 0])
      }
  })

  it('share a stage, each with its own logits', async () => {
    const stage: LogitsStage<undefined> = { run: (_, hidden) => model.head().logits(hidden) }
    const engine = createEngine({ model, ...options })
    const one = request('first', { stage: chooseStage(stage, undefined) })
    expect((await readCopies(engine, one, 3)).map(contentOf)).toEqual(
      (await answerEach(request('first'), 3)).map(contentOf),
    )
  })

  it('finish though their expert is unloaded while they wait, read and write', async () => {
    for (const steps of [0, 1, 2, 4, 8]) {
      const engine = createEngine({ model, maxRows: 2, ...options })
      await engine.registerAdapter('tales', experts['first']!)
      const copies = await engine.addCopies(request('base', { adapter: 'tales' }), 4)
      for (let i = 0; i < steps; i++) await engine.step()
      let isGone = false
      const gone = engine.unloadAdapter('tales').then(() => (isGone = true))
      void engine.run()
      const answers = await Promise.all(
        copies.map(async (copy) => {
          const end = await readEnd(copy)
          return { end, isGone }
        }),
      )
      expect(answers.slice(0, 2).every((answer) => !answer.isGone)).toBe(true)
      await gone
      expect(answers.map(({ end }) => contentOf(end))).toEqual(
        (await answerEach(request('first'), 4)).map(contentOf),
      )
      expect(engine.stats().experts).toMatchObject({ leases: 0, resident: 0, slotBytes: 0 })
    }
  })

  it('leave the pool as at the start, whatever comes and goes', async () => {
    const draw = random(23)
    const pick = (below: number): number => Math.floor(draw.uniform() * below)
    const names = Object.keys(experts)
    const tokenBytes = 8 * 5 * 4 * 8 // layers, key heads, head width
    const engine = createEngine({ model, maxRows: 5, kvBytes: 40 * 16 * tokenBytes, ...options })
    const asked: { one: EngineRequest; copy: EngineSequence }[] = []
    const ends: Promise<PromiseSettledResult<Generation>[]>[] = []
    for (let i = 0; i < 25; i++) {
      const one = request(names[pick(names.length)]!, {
        prompt: createPrompt(1 + pick(90), pick(3)),
        maxTokens: pick(12),
        seed: 10 * i,
        cache: pick(2) === 0,
      })
      const copies = await engine.addCopies(one, 1 + pick(5))
      copies.forEach((copy, n) => asked.push({ one: { ...one, seed: 10 * i + n }, copy }))
      ends.push(Promise.allSettled(copies.map(readEnd)))
      for (let steps = pick(5); steps > 0; steps--) await engine.step()
      if (pick(3) === 0) asked[pick(asked.length)]!.copy.cancel(new Error('enough'))
    }
    void engine.run()
    const answers = (await Promise.all(ends)).flat()
    const finished = asked.flatMap(({ one }, i) => {
      const answer = answers[i]!
      return answer.status === 'fulfilled' ? [{ one, ids: answer.value.ids }] : []
    })
    for (const { one, ids } of finished.filter((_, i) => i % 3 === 0))
      expect(ids).toEqual((await answerAlone(model, one, options)).ids)
    expect(finished.length).toBeGreaterThan(40)
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
  })

  it('are refused before anything is queued', async () => {
    const engine = createEngine({ model })
    await expect(engine.addCopies(request('base'), 0)).rejects.toThrow(OptionError)
    await expect(engine.addCopies(request('base'), 1.5)).rejects.toThrow(OptionError)
    const states = { layer: 1, take: () => undefined }
    await expect(engine.addCopies(request('base', { states }), 2)).rejects.toThrow(/states/)
    expect(engine.hasWork).toBe(false)
  })
})

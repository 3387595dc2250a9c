// An engine whose keys and values are 16-bit floats or 8-bit codes: what differs from 32 bits, and
// what does not.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { createEngine } from '../create-engine.ts'
import type { Model } from '../model.ts'
import type { Generation } from './answer.ts'
import { readAnswer } from './generate.ts'
import type { KvElement } from './kv/kv-types.ts'
import { createSavedBlocks } from './kv/testing.ts'
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

const names = ['base', 'first', 'ia3', 'attached', 'dora', 'prompt', 'prefix']
const narrow = ['f16', 'int8'] as const
type Narrow = (typeof narrow)[number]

/** A stage that keeps the logits it gives, which are the head's. */
function createRecorder() {
  const seen: Float32Array[] = []
  const stage: LogitsStage<undefined> = {
    async run(_, hidden) {
      const logits = await model.head().logits(hidden)
      seen.push(logits.data.slice())
      return logits
    },
  }
  return { choice: chooseStage(stage, undefined), seen }
}

const getLargest = (values: Float32Array): number =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)

/** The largest difference of two rows of logits, as a share of the largest logit. */
const measureGap = (a: Float32Array, b: Float32Array): number =>
  getLargest(a.map((value, i) => value - b[i]!)) / getLargest(a)

/** An expert of large random numbers blows up what rounding leaves; trained ones are below. */
const getMostGap = (name: string, element: Narrow): number =>
  (name === 'first' ? 0.03 : 0.003) * (element === 'f16' ? 1 : 30)

/** Logits that were asked with the same text before them. */
const countCommon = (a: readonly number[], b: readonly number[]): number => {
  const parted = a.findIndex((id, at) => id !== b[at])
  return parted < 0 ? a.length : parted + 1
}

const request = (name: string, length: number) => {
  const { choice, seen } = createRecorder()
  const more = { prompt: createPrompt(length), adapter: experts[name], stage: choice }
  return { seen, request: { ...more, maxTokens: 16 } }
}

describe.each(narrow)('keys and values in %s', (element) => {
  const options = { kvElement: element, pieceTokens: 32 } as const

  it.each(names)(
    'give logits near those of 32 bits, and in 16 bits the same greedy text: %s',
    async (name) => {
      const answer = async (kvElement: KvElement) => {
        const { seen, request: one } = request(name, 100)
        const { ids } = await answerAlone(model, one, { kvElement, pieceTokens: 32 })
        return { ids, seen }
      }
      const [full, rounded] = [await answer('f32'), await answer(element)]
      const alike = countCommon(full.ids, rounded.ids)
      expect(alike).toBeGreaterThanOrEqual(element === 'f16' ? full.ids.length : 1)
      const gap = Math.max(
        ...full.seen.slice(0, alike).map((logits, i) => measureGap(logits, rounded.seen[i]!)),
      )
      expect(gap).toBeLessThan(getMostGap(name, element))
      expect(gap).toBeGreaterThan(0)
    },
  )

  it.each(names)('give a cached prompt the bits of a cold one: %s', async (name) => {
    const engine = createEngine({ model, ...options })
    for (const length of [40, 65, 150]) {
      const { choice, seen } = createRecorder()
      const prompt = createPrompt(length, length)
      const one = { prompt, maxTokens: 3, adapter: experts[name], stage: choice }
      const cold = await readAnswer(engine, one)
      const warm = await readAnswer(engine, one)
      expect([cold.cachedTokens, warm.ids]).toEqual([0, cold.ids])
      expect(warm.cachedTokens).toBeGreaterThan(length - 40)
      expect(seen.slice(3)).toEqual(seen.slice(0, 3))
    }
  })

  // A last bit that differs between a batch and a row alone may round to another f16, so that
  // logits differ by as much as rounding does, and a text may go on otherwise where two tokens are
  // near.
  it('serve a batch of all experts as each alone, within what rounding does', async () => {
    const engine = createEngine({ model, ...options })
    const alone = names.map((name) => request(name, 20))
    const together = names.map((name) => request(name, 20))
    const wanted: Generation[] = []
    for (const one of alone) wanted.push(await answerAlone(model, one.request, options))
    const got = await Promise.all(together.map((one) => readAnswer(engine, one.request)))
    for (const [i, name] of names.entries()) {
      const common = countCommon(wanted[i]!.ids, got[i]!.ids)
      expect([name, common > 4]).toEqual([name, true])
      for (let at = 0; at < common; at++)
        expect(measureGap(alone[i]!.seen[at]!, together[i]!.seen[at]!)).toBeLessThan(
          getMostGap(name, element),
        )
    }
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
  })

  it('take fewer bytes, so that a budget holds more blocks', () => {
    const countBlocks = (kvElement?: KvElement): number =>
      createEngine({ model, kvBytes: 100 * 20_480, kvElement }).stats().kv.blocks.capacity
    // a head of this model has 8 numbers: 32 bytes, 16 or 10
    const ratio = element === 'f16' ? 2 : 3.2
    expect(countBlocks(element)).toBe(ratio * countBlocks('f32'))
    expect(countBlocks()).toBe(countBlocks('f32'))
    expect(() => createEngine({ model, kvElement: 'f61' as 'f16' })).toThrow(OptionError)
  })

  it('are not read by an engine of 32 bits that shares saved prefixes', async () => {
    const { blocks, saved } = createSavedBlocks()
    const one = { prompt: createPrompt(100), maxTokens: 3 }
    const first = createEngine({ model, ...options, saved })
    await readAnswer(first, one)
    await readAnswer(first, one)
    expect(blocks.size).toBeGreaterThan(0)
    const answer = (kvElement: KvElement) =>
      answerAlone(model, one, { kvElement, pieceTokens: 32, saved })
    expect((await answer('f32')).cachedTokens).toBe(0)
    expect((await answer(element)).cachedTokens).toBeGreaterThan(60)
  })
})

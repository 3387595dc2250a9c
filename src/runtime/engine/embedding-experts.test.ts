// Experts that change the embedding or the head, in one batch with others and the base, compared
// with PEFT's answer for each alone.

import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Adapter, loadAdapter } from '../../adapters/index.ts'
import { openDirectory } from '../../node/files/folder.ts'
import { countHeld, openStories } from '../../../test/support/engine.ts'
import { createEngine } from '../create-engine.ts'
import type { Model } from '../model.ts'
import type { EngineRequest } from './engine.ts'
import { readAnswer } from './generate.ts'

const parity = new URL('../../../test/parity/', import.meta.url)

interface PeftAnswer {
  /** Of the adapter's folder; empty: the base. */
  readonly name: string
  readonly prompt: readonly number[]
  readonly ids: readonly number[]
  readonly logprobs: readonly number[]
}

let model: Model
let answers: readonly PeftAnswer[]
const adapters = new Map<string, Adapter>()
beforeAll(async () => {
  model = await openStories()
  const text = await readFile(new URL('tied/batch.json', parity), 'utf8')
  ;({ answers } = JSON.parse(text) as { answers: readonly PeftAnswer[] })
  for (const { name } of answers)
    if (name !== '')
      adapters.set(name, await loadAdapter(await openDirectory(new URL(name, parity).pathname)))
})
afterAll(() => model.dispose())

const toRequest = ({ name, prompt, ids }: PeftAnswer): EngineRequest => ({
  prompt: [...prompt],
  maxTokens: ids.length,
  adapter: adapters.get(name),
  logprobs: 0,
})

describe('one batch of all', () => {
  it.each([
    ['all rows at once', { maxRows: 16 }],
    ['four rows', { maxRows: 4 }],
  ])('gives the tokens of PEFT and their probabilities: %s', async (_, options) => {
    const engine = createEngine({ model, ...options })
    const found = await Promise.all(answers.map((one) => readAnswer(engine, toRequest(one))))
    for (const [i, { name, ids, logprobs }] of answers.entries()) {
      const { ids: own, tokens = [] } = found[i]!
      expect([name, ...own]).toEqual([name, ...ids])
      for (const [t, { logprob }] of tokens.entries())
        expect(Math.abs(logprob - logprobs[t]!), `${name} ${t}`).toBeLessThan(2e-3)
      expect(tokens).toHaveLength(ids.length)
    }
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
    await engine.dispose()
  })

  it('is served under names, and another version takes over', async () => {
    const engine = createEngine({ model })
    const [rows, other] = ['tied/kind', 'found/saved_both'].map((name) =>
      answers.find((one) => one.name === name)!,
    )
    for (const { name, ids, prompt } of [rows!, other!]) {
      await engine.registerAdapter('tables', adapters.get(name)!)
      const request = { prompt: [...prompt], maxTokens: ids.length, adapter: 'tables' }
      const both = await Promise.all([
        readAnswer(engine, request),
        readAnswer(engine, toRequest(answers[1]!)),
      ])
      expect(both.map((one) => one.ids)).toEqual([ids, answers[1]!.ids])
    }
    await engine.dispose()
  })
})

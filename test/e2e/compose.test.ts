// Experts composed from the command line: mixtures in run and eval, weights by layer, switches and
// fades along the answer.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { initializeAdapter } from '../../src/adapters/create-adapter.ts'
import { loadModel, saveAdapter } from '../../src/node/index.ts'
import { graftHere, jsonl, scratchFolder, storyRows } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (name: string): string => join(scratch.path, name)
afterAll(() => scratch.remove())

beforeAll(async () => {
  writeFileSync(at('rows.jsonl'), jsonl(storyRows.slice(0, 6)))
  const model = await loadModel('stories260k', { threads: 1 })
  for (const [seed, name] of ['coder', 'poet'].entries()) {
    const options = { rank: 8, alpha: 64, targets: 'all-linear', start: 'random' as const }
    const adapter = initializeAdapter('lora', options, model.base.graph, {
      seed: seed + 3,
      baseModel: 'stories260k',
    })
    await saveAdapter(adapter, at(name))
  }
  await model.dispose()
})

interface Answered {
  readonly text: string
  readonly adapter: unknown
  readonly next?: unknown
}
const run = async (...args: string[]): Promise<Answered> => {
  const { code, stdout, stderr } = await graftHere([
    ...['run', 'Lily', '--model', 'stories260k', '--max-tokens', '12', '--json'],
    ...args,
  ])
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as Answered
}

describe('graft run', () => {
  it('changes the expert at a token, and fades over', async () => {
    const coder = await run('--adapter', at('coder'))
    const poet = await run('--adapter', at('poet'))
    const never = await run('--adapter', at('coder'), '--next', `50:${at('poet')}`)
    expect(never.text).toBe(coder.text)
    const soon = await run('--adapter', at('coder'), '--next', `1:${at('poet')}`)
    expect([coder.text, poet.text]).not.toContain(soon.text)
    const faded = await run('--adapter', at('coder'), '--next', `2-8:${at('poet')}=0.5`)
    expect(faded.text).not.toBe(coder.text)
    expect(faded).toMatchObject({
      adapter: at('coder'),
      next: [{ from: 2, to: 8, experts: [{ folder: at('poet'), weight: 0.5 }] }],
    })
    const base = await run('--next', `6:${at('coder')}`, '--next', '9:base')
    expect(base.adapter).toBe(null)
  })

  it('takes weights by layer', async () => {
    const whole = await run('--adapter', `${at('coder')}=0.5@0-4`)
    expect(whole.text).toBe((await run('--adapter', `${at('coder')}=0.5`)).text)
    const none = await run('--adapter', `${at('coder')}=0@0-4`)
    expect(none.text).toBe((await run()).text)
    await expect(run('--adapter', `${at('coder')}=1@3-9`)).rejects.toThrow(/the model has 5 layers/)
  })

  it('refuses stages that go backwards, and invalid forms', async () => {
    const stages = ['--next', `8:${at('poet')}`, '--next', `4:${at('coder')}`]
    await expect(run(...stages)).rejects.toThrow(/expected at least 8/)
    await expect(run('--next', at('poet'))).rejects.toThrow(/--next: got/)
  })
})

it('graft eval measures a mixture', async () => {
  const evaluate = async (...args: string[]) => {
    const data = ['--data', at('rows.jsonl'), '--model', 'stories260k', '--json']
    const { code, stdout, stderr } = await graftHere(['eval', ...data, ...args])
    if (code !== 0) throw new Error(stderr)
    return JSON.parse(stdout) as { perplexity: number; adapter: unknown }
  }
  const base = await evaluate()
  const none = await evaluate('--adapter', `${at('coder')}=0,${at('poet')}=0`)
  expect(none.perplexity).toBeCloseTo(base.perplexity, 5)
  const mixed = await evaluate('--adapter', `${at('coder')}=0.2`, '--adapter', `${at('poet')}=0.2`)
  expect(mixed.perplexity).not.toBeCloseTo(base.perplexity, 2)
  expect(mixed.adapter).toEqual([
    { folder: at('coder'), weight: 0.2 },
    { folder: at('poet'), weight: 0.2 },
  ])
  expect((await evaluate('--adapter', at('coder'))).adapter).toBe(at('coder'))
})

// Several experts at the command line: run and chat answer with exactly the weighted sum.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { initializeAdapter } from '../../src/adapters/create-adapter.ts'
import { f32 } from '../../src/base/tensor.ts'
import { loadModel, merge, saveAdapter } from '../../src/node/index.ts'
import { graft, scratchFolder, succeed } from '../support/cli.ts'

const scratch = scratchFolder()
const [coder, security, prompt] = ['coder', 'security', 'prompt'].map((name) =>
  join(scratch.path, name),
) as [string, string, string]
const one = { words: 'The dog', tokens: 12 }
const expected = { mixed: '', coder: '', base: '' }

beforeAll(async () => {
  const model = await loadModel('stories260k')
  const adapters = [coder, security].map((_, seed) => {
    const made = initializeAdapter(
      'lora',
      { rank: 3, targets: 'all-linear', start: 'random' },
      model.base.graph,
      {
        seed,
        baseModel: 'stories260k',
      },
    )
    const tensors = [...made.tensors].map(
      ([key, { shape, data }]) =>
        [
          key,
          f32(
            shape,
            (data as Float32Array).map((x) => 0.6 * x),
          ),
        ] as const,
    )
    return { ...made, tensors: new Map(tensors) }
  })
  await saveAdapter(adapters[0]!, coder)
  await saveAdapter(adapters[1]!, security)
  await saveAdapter(
    initializeAdapter('prompt-tuning', { virtualTokens: 2 }, model.base.graph, {
      seed: 1,
      baseModel: 'stories260k',
    }),
    prompt,
  )
  const merged = merge(adapters, { method: 'cat', weights: [0.7, 0.5] })
  const text = async (adapter?: typeof merged): Promise<string> =>
    (await model.generateBatch([one.words], { adapter, maxTokens: one.tokens }))[0]!.text
  Object.assign(expected, {
    mixed: await text(await merged),
    coder: await text(adapters[0]),
    base: await text(),
  })
  await model.dispose()
})
afterAll(() => scratch.remove())

const answer = async (...args: string[]) => {
  const { stdout } = await succeed([
    'run',
    one.words,
    '--max-tokens',
    String(one.tokens),
    '--json',
    ...args,
  ])
  return JSON.parse(stdout) as { text: string; model: string; adapter: unknown }
}

describe('graft run', () => {
  it('mixes experts that are named one by one, or together, and finds their base', async () => {
    const apart = await answer('--adapter', `${coder}=0.7`, '--adapter', `${security}=0.5`)
    const weights = [
      { folder: coder, weight: 0.7 },
      { folder: security, weight: 0.5 },
    ]
    expect(apart).toMatchObject({ text: expected.mixed, adapter: weights, model: 'stories260k' })
    expect(await answer('-a', `${coder}=0.7,${security}=0.5`)).toMatchObject({
      text: expected.mixed,
      adapter: weights,
    })
    expect(new Set(Object.values(expected)).size).toBe(3)
  })
  it('takes one expert as it is, and one of weight 0 as the base', async () => {
    expect(await answer('--adapter', coder)).toMatchObject({ text: expected.coder, adapter: coder })
    expect(await answer('--adapter', `${coder}=0`)).toMatchObject({
      text: expected.base,
      adapter: [{ folder: coder, weight: 0 }],
    })
  })
  it('reports what cannot be mixed', async () => {
    const { code, stdout, stderr } = await graft([
      'run',
      one.words,
      '--adapter',
      `${coder}=0.5`,
      '--adapter',
      prompt,
    ])
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain('This mixture cannot be served exactly')
  })
})

describe('graft chat', () => {
  it('mixes from the start and while talking; what cannot be served changes nothing', async () => {
    const mixture = `${coder}=0.7, ${security}=0.5`
    const lines = [
      `${one.words}`,
      '/new',
      '/base',
      one.words,
      '/new',
      `/adapter ${mixture}`,
      `/adapter ${coder}=1, ${prompt}`,
      one.words,
    ]
    const { stdout, stderr } = await succeed(
      [
        'chat',
        '--json',
        '--max-tokens',
        String(one.tokens),
        '--adapter',
        `${coder}=0.7`,
        '--adapter',
        `${security}=0.5`,
      ],
      { input: `${lines.join('\n')}\n` },
    )
    const { messages } = JSON.parse(stdout) as { messages: { content: string }[] }
    expect(messages.at(-1)!.content).toBe(expected.mixed)
    expect(stderr).toContain('This mixture cannot be served exactly')
  })
})

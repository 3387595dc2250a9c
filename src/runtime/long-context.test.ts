import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { createAdapter } from '../adapters/index.ts'
import type { RopeScalingOptions } from '../graph/models/rope-scaling.ts'
import { type LoadedModel, loadModel } from '../node/index.ts'
import { createEngine } from './create-engine.ts'
import { chooseStage, type LogitsStage } from './engine/logits/stage.ts'

const TRAINED = 512 // tokens of stories260k

const text = readFileSync(
  new URL('../../examples/data/tinyshakespeare/train.txt', import.meta.url),
  'utf8',
).slice(0, 20_000)

const opened: LoadedModel[] = []
afterAll(() => Promise.all(opened.map((model) => model.dispose())))

async function open(ropeScaling: RopeScalingOptions): Promise<LoadedModel> {
  const model = await loadModel('stories260k', { ropeScaling })
  opened.push(model)
  return model
}

const readWindow = ({ base }: LoadedModel, tokens: number): number[] =>
  base.tokenizer!.encode(text).slice(0, tokens)

/** Mean loss of the last 512 of so many tokens, at places that the model was never trained at. */
async function measureEnd(tokens: number, ropeScaling: RopeScalingOptions): Promise<number> {
  const model = await open(ropeScaling)
  const ids = readWindow(model, tokens)
  expect(ids).toHaveLength(tokens)
  return model.loss([ids], [ids.map((id, t) => (t < tokens - TRAINED ? -100 : id))])
}

/** Plain angles at every place of a long context. */
const plainAngles = (tokens: number): RopeScalingOptions => ({
  type: 'linear',
  factor: 1,
  originalContext: tokens,
})

describe('beyond the trained context', () => {
  it('of eight times its length dynamic and yarn predict the end, and plain angles fail', async () => {
    const tokens = 8 * TRAINED
    const plain = await measureEnd(tokens, plainAngles(tokens))
    expect(plain).toBeGreaterThan(6.24) // ln 512: worse than to guess
    for (const type of ['dynamic', 'yarn'] as const)
      expect(await measureEnd(tokens, { type, factor: 8 }), type).toBeLessThan(plain - 1)
  })
  // This model carries on so far by itself (docs/engine.md).
  it('of four times its length they do as well as plain angles, and linear does worse', async () => {
    const tokens = 4 * TRAINED
    const plain = await measureEnd(tokens, plainAngles(tokens))
    for (const type of ['dynamic', 'yarn'] as const)
      expect(Math.abs((await measureEnd(tokens, { type, factor: 4 })) - plain), type).toBeLessThan(
        0.2,
      )
    expect(await measureEnd(tokens, { type: 'linear', factor: 4 })).toBeGreaterThan(plain + 0.3)
  })
  it('is refused beyond the chosen one', async () => {
    const model = await open({ type: 'yarn', factor: 4 })
    const ids = readWindow(model, 4 * TRAINED + 1)
    await expect(model.logits([ids])).rejects.toThrow(/2049 tokens.*has 2048/)
  })
})

describe('dynamic scaling goes by the whole sequence, also where it is read in pieces', () => {
  const dynamic = { type: 'dynamic', factor: 4 } as const

  it('in passes over whole sequences', async () => {
    const model = await open(dynamic)
    const ids = readWindow(model, 1_200)
    const labels = ids.map((id, t) => (t < 600 ? id : -100))
    const adapter = await createAdapter('lora', { rank: 1, targets: ['q_proj'] }, model)
    const pieces = await model.loss([ids], [labels])
    const { loss } = await model.gradients([ids], [labels], { adapter }) // in one call
    expect(pieces).toBeCloseTo(loss, 3)
  })
  it('in the engine', async () => {
    const model = await open(dynamic)
    const prompt = readWindow(model, 600)
    const head = model.head()
    const seen: number[][] = []
    const stage: LogitsStage<undefined> = {
      run(_contexts, hidden) {
        seen.push([...hidden.data])
        return head.logits(hidden)
      },
    }
    const engine = createEngine({ model, pieceTokens: 64 })
    const choice = chooseStage(stage, undefined)
    for await (const _ of engine.generate({ prompt, stage: choice, maxTokens: 1 }));
    await engine.dispose()
    const [[whole]] = (await model.hidden([prompt], { at: 'last' })) as [[Float32Array]]
    expect(seen[0]).toHaveLength(whole.length)
    for (const [i, value] of whole.entries()) expect(seen[0]![i]).toBeCloseTo(value, 3)
  })
  it('in a batch, each row by its own length', async () => {
    const model = await open(dynamic)
    const prompts = [readWindow(model, 1_100), readWindow(model, 700), readWindow(model, 40)]
    const together = await model.hidden(prompts, { at: 'last' })
    for (const [row, prompt] of prompts.entries()) {
      const [[alone]] = (await model.hidden([prompt], { at: 'last' })) as [[Float32Array]]
      for (const [i, value] of together[row]![0]!.entries())
        expect(value, `row ${row}`).toBeCloseTo(alone![i]!, 3)
    }
    const request = (prompt: readonly number[]) => ({ prompt, maxTokens: 8, exact: true })
    const answer = async (engine: ReturnType<typeof createEngine>, prompt: readonly number[]) => {
      for await (const event of engine.generate(request(prompt)))
        if (event.type === 'generation-end') return event.ids
      throw new Error('an answer without an end')
    }
    const engine = createEngine({ model })
    const batch = await Promise.all(prompts.map((prompt) => answer(engine, prompt)))
    for (const [row, prompt] of prompts.entries())
      expect(await answer(engine, prompt)).toEqual(batch[row])
    await engine.dispose()
  })
})

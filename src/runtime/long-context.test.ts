import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { createAdapter } from '../adapters/index.ts'
import type { RopeScalingOptions } from '../graph/models/rope-scaling.ts'
import { type LoadedModel, loadModel } from '../node/index.ts'
import { createEngine } from './create-engine.ts'
import { chooseStage, type LogitsStage } from './engine/logits/stage.ts'

const TRAINED = 512 // tokens of stories260k
const CONTEXT = 4 * TRAINED

const text = readFileSync(
  new URL('../../examples/data/tinyshakespeare/train.txt', import.meta.url),
  'utf8',
).slice(0, 12_000)

const opened: LoadedModel[] = []
afterAll(() => Promise.all(opened.map((model) => model.dispose())))

async function open(ropeScaling: RopeScalingOptions): Promise<LoadedModel> {
  const model = await loadModel('stories260k', { ropeScaling })
  opened.push(model)
  return model
}

const readWindow = ({ base }: LoadedModel, tokens: number): number[] =>
  base.tokenizer!.encode(text).slice(0, tokens)

describe('at four times the trained context', () => {
  /** Mean loss of the last quarter, at places that the model was never trained at. */
  async function measureLastQuarter(ropeScaling: RopeScalingOptions): Promise<number> {
    const model = await open(ropeScaling)
    const ids = readWindow(model, CONTEXT)
    expect(ids).toHaveLength(CONTEXT)
    return model.loss([ids], [ids.map((id, t) => (t < CONTEXT - TRAINED ? -100 : id))])
  }

  // The smallest model hardly looks far back, so plain angles carry on too (docs/engine.md).
  it('reads a long text with dynamic and yarn as well as with plain angles, with linear worse', async () => {
    const plain = await measureLastQuarter({ type: 'linear', factor: 1, originalContext: CONTEXT })
    const dynamic = await measureLastQuarter({ type: 'dynamic', factor: 4 })
    const yarn = await measureLastQuarter({ type: 'yarn', factor: 4 })
    const linear = await measureLastQuarter({ type: 'linear', factor: 4 })
    expect(Math.abs(dynamic - plain)).toBeLessThan(0.2)
    expect(Math.abs(yarn - plain)).toBeLessThan(0.2)
    expect(linear).toBeGreaterThan(plain + 0.3)
  })
  it('refuses one token more', async () => {
    const model = await open({ type: 'yarn', factor: 4 })
    const ids = readWindow(model, CONTEXT + 1)
    await expect(model.logits([ids])).rejects.toThrow(/2049 tokens.*holds 2048/)
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
})

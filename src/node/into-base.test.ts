// Merging into a base by path, on the embedded model: what is written, compared and left behind.
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAdapter, type Adapter } from '../index.ts'
import { asGguf, createSmallModel } from '../merge/testing.ts'
import { saveAdapter } from './adapters.ts'
import { mergeIntoBase, type IntoBaseProgress } from './into-base.ts'
import { loadModel, type LoadedModel } from './model.ts'

const folder = mkdtempSync(join(tmpdir(), 'graft-into-base-'))
const at = (name: string): string => join(folder, name)
let model: LoadedModel
let small: LoadedModel

const expert = (of: LoadedModel, seed: number, targets: readonly string[]): Promise<Adapter> =>
  createAdapter('lora', { rank: 4, targets, start: 'random' }, of, { seed })

beforeAll(async () => {
  model = await loadModel('stories260k')
  writeFileSync(at('small.gguf'), asGguf(createSmallModel(), () => 'q4_1').bytes)
  small = await loadModel(at('small.gguf'))
  await saveAdapter(await expert(model, 1, ['q_proj', 'down_proj']), at('one'))
})
afterAll(async () => {
  await Promise.all([model.dispose(), small.dispose()])
  rmSync(folder, { recursive: true, force: true })
})

const ids = [[1, 14, 40, 7, 33]]

describe('mergeIntoBase', () => {
  it('writes a folder that loads and computes what base and adapters do', async () => {
    const two = await expert(model, 2, ['v_proj'])
    const seen: IntoBaseProgress[] = []
    const report = await mergeIntoBase([at('one'), two], {
      base: 'stories260k',
      out: at('full'),
      recipe: { method: 'weighted', weights: [0.5, 2] },
      onProgress: (progress) => seen.push(progress),
    })
    expect(report).toMatchObject({ out: at('full'), format: 'safetensors', untied: false })
    expect(report.changed).toHaveLength(15) // three kinds of modules in five layers
    expect(report.distance).toMatchObject({ prompts: 8, equalGreedy: 1 })
    expect(report.distance!.largestGap).toBeLessThan(1e-4)
    expect(new Set(seen.map(({ stage }) => stage))).toEqual(new Set(['writing', 'comparing']))
    expect(seen.every(({ done, total }) => done <= total)).toBe(true)
    expect(readdirSync(at('full')).sort()).toEqual([
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ])
    const merged = await loadModel(at('full'))
    const { loadAdapter } = await import('./adapters.ts')
    const mixture = {
      mixture: [
        { adapter: await loadAdapter(at('one')), weight: 0.5 },
        { adapter: two, weight: 2 },
      ],
    }
    const got = await merged.logits(ids)
    const expected = await model.logits(ids, { adapter: mixture })
    await merged.dispose()
    expect(
      Math.max(...got.data.map((value, i) => Math.abs(value - expected.data[i]!))),
    ).toBeLessThan(1e-4)
  })

  it('writes a GGUF, and reports how far quantising again has moved its logits', async () => {
    const adapter = await expert(small, 3, ['q_proj', 'v_proj'])
    const report = await mergeIntoBase([adapter], {
      base: at('small.gguf'),
      out: at('merged.gguf'),
    })
    expect(report.changed.map(({ from, to }) => `${from} ${to}`)).toEqual(
      Array.from({ length: 4 }, () => 'q4_1 q4_1'),
    )
    expect(report.distance!.meanDivergence).toBeGreaterThan(1e-6)
    expect(report.distance!.meanDivergence).toBeLessThan(report.change!.meanDivergence / 10)
    const exact = await mergeIntoBase([adapter], {
      base: at('small.gguf'),
      out: at('exact.gguf'),
      dtype: 'f32',
    })
    expect(exact.distance!.largestGap).toBeLessThan(1e-4)
    const merged = await loadModel(at('exact.gguf'))
    const plain = await loadModel(at('merged.gguf'))
    const got = await merged.logits(ids)
    const expected = await small.logits(ids, { adapter })
    expect(
      Math.max(...got.data.map((value, i) => Math.abs(value - expected.data[i]!))),
    ).toBeLessThan(1e-4)
    expect((await plain.logits(ids)).shape).toEqual(expected.shape)
    await Promise.all([merged.dispose(), plain.dispose()])
  })

  it('leaves nothing where it fails, and touches nothing that exists', async () => {
    const options = { base: 'stories260k', out: at('none') }
    const prompt = await createAdapter(
      'prompt-tuning',
      { virtualTokens: 2, start: 'random' },
      model,
    )
    await expect(mergeIntoBase([prompt], options)).rejects.toThrow('changes no weight')
    await expect(mergeIntoBase([await expert(small, 1, ['q_proj'])], options)).rejects.toThrow(
      'does not fit',
    )
    await expect(mergeIntoBase([at('one')], { ...options, out: at('none.gguf') })).rejects.toThrow(
      'only from a base that is one',
    )
    await expect(mergeIntoBase([], options)).rejects.toThrow('there is no adapter to merge')
    expect([existsSync(at('none')), existsSync(at('none.gguf'))]).toEqual([false, false])
    await expect(mergeIntoBase([at('one')], { ...options, out: at('one') })).rejects.toThrow(
      'exists already',
    )
    expect(existsSync(join(at('one'), 'adapter_config.json'))).toBe(true)
  })
})

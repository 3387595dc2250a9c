import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Quantization } from '../graph/quantized-base/frozen-form-table.ts'
import { isFrozen } from '../graph/quantized-base/quantize-weight.ts'
import { loadAdapter } from './adapters.ts'
import { loadModel } from './model.ts'
import { train } from './train.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-quantized-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const data = Array.from({ length: 12 }, (_, i) => ({
  prompt: `Lily ${i}:`,
  completion: ' Lily saw a cat. The end.',
}))

it.each<Quantization>(['nf4', 'int8'])(
  'an expert taught on a base in %s fits the base as it is',
  async (quantization) => {
    const out = join(folder, quantization)
    const losses: number[] = []
    const adapter = { kind: 'lora', config: { rank: 4, targets: 'all-linear' } }
    for await (const event of train({
      model: 'stories260k',
      data,
      out,
      adapter,
      quantization,
      steps: 12,
      learningRate: 0.01,
    })) {
      if (event.type === 'step-end') losses.push(event.loss)
    }
    expect(losses.at(-1)!).toBeLessThan(losses[0]! * 0.8)
    const expert = await loadAdapter(out)
    expect(expert.metadata).toMatchObject({ graft_base_quantization: quantization })
    expect(JSON.parse(await readFile(join(out, 'adapter_config.json'), 'utf8'))).not.toHaveProperty(
      'quantization',
    ) // PEFT knows no such key
    const model = await loadModel('stories260k')
    try {
      const ids = [model.encode('Lily 3:').concat(model.encode(' Lily saw a cat. The end.'))]
      const before = await model.loss(ids, ids)
      expect(await model.loss(ids, ids, { adapter: expert })).toBeLessThan(before)
    } finally {
      await model.dispose()
    }
  },
)

it('a model gives its weights quantised, or in f32 when nothing is said', async () => {
  const model = await loadModel('stories260k')
  try {
    const name = 'model.layers.0.self_attn.q_proj.weight'
    expect((await model.weights()).get(name)!.dtype).toBe('f32')
    const frozen = (await model.weights({ quantization: 'nf4' })).get(name)!
    expect(isFrozen(frozen) && frozen.form).toBe('nf4')
  } finally {
    await model.dispose()
  }
})

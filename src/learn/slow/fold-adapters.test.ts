import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Adapter } from '../../adapters/index.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { random } from '../../base/random.ts'
import { f32 } from '../../base/tensor.ts'
import { foldAdapters } from './fold-adapters.ts'
import { storiesModel, type TestModel } from '../../../test/support/learner.ts'

let model: TestModel
beforeAll(async () => void (model = await storiesModel()))
afterAll(() => model.dispose())

const ids = [[1, 403, 407, 261, 378, 12]]
function adapterOf(
  targets: readonly string[],
  layers: readonly number[],
  rank: number,
  seed: number,
): Adapter {
  const made = initializeAdapter(
    'lora',
    { rank, alpha: 3 * rank, targets, layers },
    model.base.graph,
    {
      seed,
    },
  )
  const { normal } = random(seed)
  return {
    ...made,
    tensors: new Map(
      [...made.tensors].map(([key, { shape, data }]) => [
        key,
        f32(
          shape,
          Float32Array.from(data as Float32Array, () => 0.05 * normal()),
        ),
      ]),
    ),
  }
}

it('two adapters as one give the outputs of both, where the rank holds them, whatever modules each is on', async () => {
  const slow = adapterOf(['q_proj', 'v_proj', 'down_proj'], [0, 1, 2, 3, 4], 3, 1)
  const fast = adapterOf(['v_proj', 'up_proj'], [3, 4], 2, 2)
  const both = await model.logits(ids, {
    adapter: { mixture: [slow, fast].map((adapter) => ({ adapter, weight: 1 })) },
  })
  const { adapter, residual, modules } = await foldAdapters(slow, fast, 5)
  expect(residual).toBeLessThan(1e-6)
  expect(modules.map(({ rank }) => rank)).toContain(5)
  const one = await model.logits(ids, { adapter })
  one.data.forEach((value, i) => expect(Math.abs(value - both.data[i]!)).toBeLessThan(1e-3))
  const plain = await model.logits(ids)
  expect(plain.data.some((value, i) => Math.abs(value - one.data[i]!) > 0.1)).toBe(true)
  const cut = await foldAdapters(slow, fast, 3)
  expect(cut.residual).toBeGreaterThan(0.01)
  expect(cut.modules.find(({ module }) => module.endsWith('3.self_attn.v_proj'))).toMatchObject({
    rank: 3,
  })
  expect((await foldAdapters(undefined, fast, 2)).residual).toBeLessThan(1e-6)
})

import { describe, expect, it } from 'vitest'
import type { Adapter } from '../../adapters/adapter.ts'
import { createRole } from '../../adapters/roles.ts'
import { createStandalone } from '../../adapters/vectors/create.ts'
import { createStandaloneForward } from '../../adapters/vectors/forward.ts'
import { memorySink } from '../../../test/support/adapters.ts'
import { OptionError, UnsupportedError } from '../../base/errors.ts'
import type { EmbeddingDataset } from '../datasets/adapter-dataset.ts'
import { loadEwcState, saveEwcState } from '../ewc/state.ts'
import { SyntheticDataGenerator } from '../datasets/synthetic/synthetic-data-generator.ts'
import { consolidateStandalone } from './consolidate-standalone.ts'
import type { StandaloneOptions } from './options.ts'
import { trainStandalone } from './train-standalone.ts'

const width = 128
const drawn = (role: string, seed: number, count: number): EmbeddingDataset =>
  new SyntheticDataGenerator(width, seed).generate(role, count)

async function trained(
  options: Partial<StandaloneOptions> & Pick<StandaloneOptions, 'adapter' | 'data'>,
): Promise<Adapter> {
  for await (const event of trainStandalone({ epochs: 3, learningRate: 0.004, ...options }))
    if (event.type === 'train-end') return event.adapter
  throw new Error('no end')
}

function errorOf(adapter: Adapter, { inputs, targets }: EmbeddingDataset): number {
  const y = createStandaloneForward(adapter, width)(inputs)
  return y.reduce((sum, value, i) => sum + (value - targets[i]!) ** 2, 0) / y.length
}

describe('consolidateStandalone', () => {
  const first = drawn('coder', 1, 400)
  const second = drawn('researcher', 1, 400)
  const firstHeld = drawn('coder', 9, 100)
  const secondHeld = drawn('researcher', 9, 100)

  it('keeps an earlier task while the next is learned: forgetting falls by more than 60 % at equal quality of the new one', async () => {
    const start = await trained({ adapter: createRole('coder', width), data: first })
    const state = consolidateStandalone({ adapter: start, data: first })
    const plain = await trained({ adapter: start, data: second })
    const kept = await trained({ adapter: start, data: second, ewc: { state } })
    const forgotten = (adapter: Adapter): number =>
      errorOf(adapter, firstHeld) - errorOf(start, firstHeld)
    expect(forgotten(plain)).toBeGreaterThan(0.05)
    expect(forgotten(kept)).toBeLessThan(0.4 * forgotten(plain))
    expect(errorOf(kept, secondHeld)).toBeLessThan(1.1 * errorOf(plain, secondHeld))
  })
  it('measures columns by their squares, weighted by quality, of mean 1', () => {
    const adapter = createStandalone('lora', { rank: 2, targets: ['q_proj'] }, { width: 2 })
    const data = {
      ...drawn('coder', 1, 2),
      width: 2,
      inputs: Float32Array.of(1, 2, 3, 0),
      targets: new Float32Array(4),
      quality: Float32Array.of(1, 0.5),
    }
    const [module] = [...consolidateStandalone({ adapter, data }).modules.values()]
    expect([...module!.fisherOut.data]).toEqual([1, 1])
    const x = 1 + 0.5 * 9
    const y = 4
    module!.fisherIn.data.forEach((value, j) =>
      expect(value).toBeCloseTo([x, y][j]! / ((x + y) / 2), 6),
    )
  })
  it('adds tasks up, and is saved like every EWC state', async () => {
    const adapter = createRole('reviewer', width)
    const one = consolidateStandalone({ adapter, data: first })
    const two = consolidateStandalone({ adapter, data: second, previous: one })
    expect([two.tasks, two.weight]).toEqual([2, 2])
    const sink = memorySink()
    await saveEwcState(two, sink)
    expect(await loadEwcState(sink)).toEqual(two)
  })
  it('refuses what it cannot protect', async () => {
    expect(() =>
      consolidateStandalone({ adapter: createStandalone('ia3', {}, { width }), data: first }),
    ).toThrow(UnsupportedError)
    expect(() =>
      consolidateStandalone({ adapter: createRole('coder', width), data: first, decay: 2 }),
    ).toThrow(OptionError)
    const state = consolidateStandalone({ adapter: createRole('coder', width), data: first })
    await expect(
      trained({ adapter: createRole('coder', width), data: first, ewc: { state, lambda: -1 } }),
    ).rejects.toThrow(/lambda/)
  })
})

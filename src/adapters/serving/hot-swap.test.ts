import { describe, expect, it } from 'vitest'
import { createStandalone } from '../vectors/create.ts'
import { createStandaloneForward, type StandaloneForward } from '../vectors/forward.ts'
import { describeHotSwap } from './hot-swap.contract.ts'
import { HotSwap } from './hot-swap.ts'

describeHotSwap('HotSwap', (active, options) => new HotSwap(active, options))

describe('HotSwap', () => {
  it('serves standalone adapters: a batch in pieces is computed by one of them', async () => {
    const width = 6
    const forwardOf = (seed: number): StandaloneForward =>
      createStandaloneForward(
        createStandalone(
          'lora',
          { rank: 2, start: 'random', targets: ['q_proj'] },
          { width, seed },
        ),
        width,
      )
    const one = forwardOf(1)
    const other = forwardOf(2)
    const x = Float32Array.from({ length: 4 * width }, (_, i) => Math.sin(i))
    const swap = new HotSwap(one)
    const inPieces = swap.run(async (forward) => {
      const first = forward(x.slice(0, 2 * width))
      await Promise.resolve()
      return [...first, ...forward(x.slice(2 * width))]
    })
    await swap.prepare(other)
    await swap.swap()
    expect(await inPieces).toEqual([...one(x)])
    expect([...(await swap.run((forward) => forward(x)))]).toEqual([...other(x)])
    expect([...other(x)]).not.toEqual([...one(x)])
  })
})

import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { createStandalone } from '../vectors/create.ts'
import { HotSwap } from './hot-swap.ts'
import { createStandaloneForward, type StandaloneForward } from '../vectors/forward.ts'

/** A promise and who settles it. */
function gate() {
  let open = (): void => undefined
  const passed = new Promise<void>((resolve) => (open = resolve))
  return { passed, open }
}

const settled = async (promise: Promise<unknown>): Promise<boolean> => {
  const late = new Promise((resolve) => setTimeout(() => resolve('late'), 5))
  return (await Promise.race([promise.then(() => 'settled'), late])) === 'settled'
}

describe('HotSwap', () => {
  it('changes the active one at once, and waits for passes on the old one', async () => {
    const swap = new HotSwap('old')
    const { passed, open } = gate()
    const seen: string[] = []
    const pass = swap.run(async (held) => {
      seen.push(held)
      await passed
      seen.push(held) // the same, though it was swapped meanwhile
      return held
    })
    await swap.prepare('new')
    expect([swap.active, swap.standby, swap.isSwapping]).toEqual(['old', 'new', false])
    const swapped = swap.swap()
    expect([swap.active, swap.standby, swap.isSwapping]).toEqual(['new', undefined, true])
    expect(await swap.run((held) => held)).toBe('new')
    expect(await settled(swapped)).toBe(false)
    open()
    expect(await pass).toBe('old')
    expect(await swapped).toBe('old')
    expect(seen).toEqual(['old', 'old'])
    expect(swap.isSwapping).toBe(false)
  })
  it('keeps any interleaving of passes and swaps apart', async () => {
    const swap = new HotSwap(0)
    const gates = Array.from({ length: 6 }, gate)
    const passes: Promise<readonly number[]>[] = []
    for (const [i, { passed }] of gates.entries()) {
      passes.push(
        swap.run(async (held) => {
          const first = held
          await passed
          return [i, first, held]
        }),
      )
      await swap.prepare(i + 1)
      void swap.swap()
    }
    for (const i of [3, 0, 5, 1, 4, 2]) {
      gates[i]!.open()
      expect(await passes[i]).toEqual([i, i, i]) // pass i began after i swaps
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
    expect(swap.active).toBe(6)
    expect(swap.isSwapping).toBe(false)
  })
  it('holds a stream to what it began with, also when it is given up', async () => {
    const swap = new HotSwap('old')
    const stream = swap.stream(async function* (held) {
      for (let i = 0; i < 3; i++) yield `${held} ${i}`
    })
    expect((await stream.next()).value).toBe('old 0')
    await swap.prepare('new')
    const swapped = swap.swap()
    expect((await stream.next()).value).toBe('old 1')
    expect(await settled(swapped)).toBe(false)
    await stream.return()
    expect(await swapped).toBe('old')
  })
  it('rolls back, and forward again', async () => {
    const swap = new HotSwap('first')
    await expect(swap.rollBack()).rejects.toThrow(OptionError)
    await swap.prepare('second')
    await swap.swap()
    expect(await swap.rollBack()).toBe('second')
    expect(swap.active).toBe('first')
    await swap.rollBack()
    expect(swap.active).toBe('second')
  })
  it('leaves the slots as they are where there is nothing on standby, or preparing fails', async () => {
    const failing = new HotSwap('old', {
      prepare: (held) => {
        if (held === 'bad') throw new OptionError('does not fit')
      },
    })
    await expect(failing.swap()).rejects.toThrow(/nothing is on standby/)
    await failing.prepare('good')
    await expect(failing.prepare('bad')).rejects.toThrow('does not fit')
    expect([failing.active, failing.standby, failing.isSwapping]).toEqual(['old', 'good', false])
  })
  it('ends a pass that throws', async () => {
    const swap = new HotSwap('old')
    await expect(swap.run(() => Promise.reject(new Error('broke')))).rejects.toThrow('broke')
    expect(swap.passes).toBe(0)
    await swap.prepare('new')
    expect(await swap.swap()).toBe('old')
  })
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

// The contract of every hot swap: active and standby slots, atomic swaps, a rollback, a flag while
// passes on the old value run, and swaps to the base (undefined) and back.

import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import type { HotSwap, HotSwapOptions } from './hot-swap.ts'

export type CreateHotSwap = <Held>(active: Held, options?: HotSwapOptions<Held>) => HotSwap<Held>

/** A promise and the function that resolves it. */
function gate() {
  let open = (): void => undefined
  const passed = new Promise<void>((resolve) => (open = resolve))
  return { passed, open }
}

const settled = async (promise: Promise<unknown>): Promise<boolean> => {
  const late = new Promise((resolve) => setTimeout(() => resolve('late'), 5))
  return (await Promise.race([promise.then(() => 'settled'), late])) === 'settled'
}

export function describeHotSwap(name: string, create: CreateHotSwap): void {
  describe(`${name}: contract`, () => {
    it('changes the active one at once, and waits for passes on the old one', async () => {
      const swap = create('old')
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
      const swap = create(0)
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
      const swap = create('old')
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
      const swap = create('first')
      await expect(swap.rollBack()).rejects.toThrow(OptionError)
      await swap.prepare('second')
      await swap.swap()
      expect(await swap.rollBack()).toBe('second')
      expect(swap.active).toBe('first')
      await swap.rollBack()
      expect(swap.active).toBe('second')
    })
    it('leaves the slots as they are where there is nothing on standby, or preparing fails', async () => {
      const failing = create('old', {
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
      const swap = create('old')
      await expect(swap.run(() => Promise.reject(new Error('broke')))).rejects.toThrow('broke')
      expect(swap.passes).toBe(0)
      await swap.prepare('new')
      expect(await swap.swap()).toBe('old')
    })
    it('swaps to the base and back', async () => {
      const prepared: (string | undefined)[] = []
      const swap = create<string | undefined>('coder', {
        prepare: (held) => void prepared.push(held),
      })
      expect(swap.hasStandby).toBe(false)
      await swap.prepare(undefined)
      expect([swap.active, swap.standby, swap.hasStandby]).toEqual(['coder', undefined, true])
      const { passed, open } = gate()
      const pass = swap.run(async (held) => {
        await passed
        return held
      })
      const swapped = swap.swap()
      expect([swap.active, swap.hasStandby, swap.isSwapping]).toEqual([undefined, false, true])
      expect(await swap.run((held) => held)).toBe(undefined)
      open()
      expect([await pass, await swapped]).toEqual(['coder', 'coder'])
      await swap.prepare('coder')
      expect(await swap.swap()).toBe(undefined)
      expect(swap.active).toBe('coder')
      expect(prepared).toEqual([undefined, 'coder'])
      expect(await swap.rollBack()).toBe('coder')
      expect(swap.active).toBe(undefined)
    })
    it('begins with the base, and rolls back to it', async () => {
      const swap = create<string | undefined>(undefined)
      await expect(swap.swap()).rejects.toThrow(/nothing is on standby/)
      await expect(swap.rollBack()).rejects.toThrow(/nothing to roll back to/)
      await swap.prepare('coder')
      expect(await swap.swap()).toBe(undefined)
      expect(await swap.rollBack()).toBe('coder')
      expect([swap.active, swap.isSwapping]).toEqual([undefined, false])
      await swap.rollBack()
      expect(swap.active).toBe('coder')
    })
  })
}

// Hot swap with a real language model: answers that began on one expert end on it, token for token,
// while the next one is swapped in.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Adapter, createRole, HotSwap } from '../src/adapters/index.ts'
import { type LoadedModel, loadModel } from '../src/node/model.ts'

let model: LoadedModel
let experts: Adapter[]
beforeAll(async () => {
  model = await loadModel('stories260k')
  // B is not zero, so that the two write differently from the first token on.
  experts = ['coder', 'reviewer'].map((role, i) => {
    const { kind, config, tensors, ...rest } = createRole(role, model.base.graph, { seed: i })
    const shaken = [...tensors].map(([key, tensor], n) => {
      const data = (tensor.data as Float32Array).map(
        (value, at) => value + 0.3 * Math.sin(1 + at * (n + 1) * (i + 1)),
      )
      return [key, { ...tensor, data }] as const
    })
    return { ...rest, kind, config, tensors: new Map(shaken) }
  })
})
afterAll(() => model.dispose())

const asked = { maxTokens: 16, seed: 1 }

async function textOf(adapter: Adapter | undefined): Promise<string> {
  for await (const event of model.generate('Once upon a time', {
    ...asked,
    ...(adapter && { adapter }),
  }))
    if (event.type === 'generation-end') return event.text
  return ''
}

describe('a language model whose expert is swapped', () => {
  it('ends an answer on the expert that began it, and begins the next on the new one', async () => {
    const [one, other] = experts as [Adapter, Adapter]
    const alone = await textOf(one)
    const next = await textOf(other)
    expect(alone).not.toBe(next)
    const swap = new HotSwap(one, { prepare: (adapter) => model.prepare(adapter) })
    const answer = swap.stream((adapter) =>
      model.generate('Once upon a time', { ...asked, adapter }),
    )
    const began = await answer.next()
    expect(began.done).toBe(false)
    await swap.prepare(other)
    const swapped = swap.swap()
    expect([swap.active, swap.isSwapping]).toEqual([other, true])
    const meanwhile = await swap.run(textOf)
    let text = ''
    for await (const event of answer) if (event.type === 'generation-end') text = event.text
    expect(text).toBe(alone)
    expect(meanwhile).toBe(next)
    expect(await swapped).toBe(one)
    await swap.rollBack()
    expect(await swap.run(textOf)).toBe(alone)
  })
  it('swaps to the base and back', async () => {
    const [one] = experts as [Adapter, Adapter]
    const swap = new HotSwap<Adapter | undefined>(undefined, {
      prepare: (adapter) => model.prepare(adapter),
    })
    const base = await swap.run(textOf)
    await swap.prepare(one)
    await swap.swap()
    expect(await swap.run(textOf)).not.toBe(base)
    await swap.prepare(undefined)
    expect(await swap.swap()).toBe(one)
    expect(await swap.run(textOf)).toBe(base)
    await swap.rollBack()
    expect(swap.active).toBe(one)
  })
  it('refuses an expert of another model before anything is swapped', async () => {
    const swap = new HotSwap(experts[0]!, { prepare: (adapter) => model.prepare(adapter) })
    await expect(swap.prepare(createRole('coder', 32))).rejects.toThrow(/does not fit/)
    expect([swap.active, swap.standby]).toEqual([experts[0], undefined])
  })
})

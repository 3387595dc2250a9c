import { afterAll, describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { loadModel } from '../../node/model.ts'
import { getModelParts } from '../model-parts.ts'
import { createFrontProgram } from './front-program.ts'

const model = await loadModel('stories260k')
const { base, weights, backend, sample } = getModelParts(model)
const open = (layers: readonly number[]) =>
  createFrontProgram({ model: base.graph, weights, backend, accuracy: 'exact', layers })
afterAll(() => model.dispose())

/** The states that enter a layer, from the whole model. */
async function tapStates(rows: readonly number[][], layer: number): Promise<Float32Array[]> {
  const taken: Float32Array[] = []
  const take = (row: number, states: Float32Array): void => void (taken[row] = states.slice())
  await model.hidden(rows, { states: { layer, take }, accuracy: 'exact' })
  return taken
}

describe('the first layers of a model', () => {
  it('give the states that enter the chosen layers, rows of any length', async () => {
    const rows = ['Once upon a time', 'Lily', 'The dog ran to the big tree and'].map((text) =>
      model.encode(text),
    )
    const front = await open([1, 3])
    const states = await front.run(rows)
    expect(states.map(({ shape }) => shape[0])).toEqual([3, 3])
    for (const [i, layer] of [1, 3].entries()) {
      const { data, shape } = states[i]!
      const [, tokens, width] = shape as [number, number, number]
      const wanted = await tapStates(rows, layer)
      rows.forEach(({ length }, row) => {
        const got = data.subarray(row * tokens * width, (row * tokens + length) * width)
        const most = wanted[row]!.reduce((m, value, j) => Math.max(m, Math.abs(value - got[j]!)), 0)
        expect(most).toBeLessThan(1e-4)
      })
    }
    await front.dispose()
  })
  it('give nearly the same states with products in 8 bits', async () => {
    const row = model.encode('The dog ran to the big tree and saw a bird')
    const parts = {
      model: base.graph,
      weights,
      backend,
      accuracy: 'exact',
      layers: [1, 3],
    } as const
    const front = await createFrontProgram({ ...parts, products: 'int8', sample })
    const states = await front.run([row])
    for (const [i, layer] of parts.layers.entries()) {
      const [wanted] = await tapStates([row], layer)
      const { data } = states[i]!
      expect(data).toHaveLength(wanted!.length)
      const error = wanted!.reduce((sum, value, j) => sum + (value - data[j]!) ** 2, 0)
      const size = wanted!.reduce((sum, value) => sum + value ** 2, 0)
      expect(error / size).toBeLessThan(1e-3) // 3 % of the length
      expect(error).toBeGreaterThan(0)
    }
    await front.dispose()
  })
  it.each([[[]], [[0]], [[5]], [[2, 1]], [[2, 2]], [[1.5]]])(
    'refuse the layers %j',
    async (layers) => {
      await expect(open(layers)).rejects.toThrow(OptionError)
      await expect(open(layers)).rejects.toThrow(/rising integers from 1 to 4/)
    },
  )
})

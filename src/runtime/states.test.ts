import * as ort from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { initializeAdapter } from '../adapters/create-adapter.ts'
import { OptionError } from '../base/errors.ts'
import { f32, i64, type Tensor } from '../base/tensor.ts'
import type { Backend } from '../compute/backend.ts'
import { createOnnxRuntimeBackend } from '../compute/onnxruntime.ts'
import { openBaseModel, readWeights } from '../graph/index.ts'
import { collectModelFeeds } from '../graph/feeds.ts'
import { composeBlocks } from '../graph/model-graph.ts'
import { sliceTail } from '../graph/passes/tail.ts'
import { expectClose } from '../graph/testing.ts'
import { openDirectory } from '../node/files/folder.ts'
import { createModel, type Model } from './index.ts'

const folder = new URL('../catalogue/models/stories260k', import.meta.url).pathname
const onnx = createOnnxRuntimeBackend(ort as never, { threads: 1 })
let compiled = 0
const backend: Backend = {
  name: onnx.name,
  compile: (...given) => (compiled++, onnx.compile(...given)),
}
let model: Model
let weights: Map<string, Tensor>

beforeAll(async () => {
  const base = await openBaseModel({ name: 'stories260k', folder: await openDirectory(folder) })
  model = createModel({ base, backend })
  weights = await readWeights(base)
})
afterAll(() => model.dispose())

const rows = [
  [1, 80, 90, 100, 33, 7, 260, 12],
  [1, 200, 44],
]
const flat = (parts: readonly Float32Array[]): Float32Array =>
  Float32Array.from(parts.flatMap((part) => [...part]))

/** The states of each row that enter a layer, put together from the pieces they came in. */
function collecting(layer: number) {
  const taken: Float32Array[][] = [[], []]
  return {
    taken,
    tap: {
      layer,
      take: (row: number, states: Float32Array) => void taken[row]!.push(states.slice()),
    },
  }
}

/** Final hidden states of all positions from the states that enter a layer, by the tail alone. */
async function fromTail(layer: number, states: Float32Array): Promise<Float32Array> {
  const tokens = states.length / model.config.width
  const program = await onnx.compile(composeBlocks(sliceTail(model.base.graph, layer).blocks))
  const feeds = collectModelFeeds(model.config, { ids: [new Array<number>(tokens).fill(0)] })
  feeds
    .set('x', f32([1, tokens, model.config.width], states))
    .set('rows', i64([tokens], [...Array(tokens).keys()]))
  const results = await program.run(new Map([...feeds, ...weights]))
  await program.dispose()
  return results.get('hidden')!.data as Float32Array
}

describe('the states that enter a layer', () => {
  it.each([0, 2, 4])(
    'are what the layers from %i on make the final hidden states of',
    async (layer) => {
      const { taken, tap } = collecting(layer)
      const hidden = await model.hidden(rows, { states: tap })
      for (const [row, ids] of rows.entries()) {
        const states = flat(taken[row]!)
        expect(states).toHaveLength(ids.length * model.config.width)
        const own = flat(hidden[row]!)
        expectClose(f32([own.length], await fromTail(layer, states)), f32([own.length], own), 1e-4)
      }
    },
  )

  it('are changed by an adapter in front of the layer, and by none behind it', async () => {
    const statesWith = async (layers?: number[]): Promise<Float32Array> => {
      const adapter =
        layers &&
        initializeAdapter(
          'lora',
          { rank: 2, targets: 'all-linear', layers, start: 'random' },
          model.base.graph,
          { seed: 1 },
        )
      const { taken, tap } = collecting(3)
      await model.hidden([rows[0]!], { at: 'none', states: tap, ...(adapter && { adapter }) })
      return flat(taken[0]!)
    }
    const own = await statesWith()
    expect(await statesWith([3, 4])).toEqual(own)
    const gap = (await statesWith([2])).reduce(
      (most, value, i) => Math.max(most, Math.abs(value - own[i]!)),
      0,
    )
    expect(gap).toBeGreaterThan(1e-2)
  })

  it('come while an answer is written: of the prompt, then of each token read again', async () => {
    const { taken, tap } = collecting(3)
    let ids: readonly number[] = []
    for await (const event of model.generate(rows[0]!, { maxTokens: 5, states: tap }))
      if (event.type === 'generation-end') ids = event.ids
    expect(taken[0]!.map(({ length }) => length / model.config.width)).toEqual([
      rows[0]!.length,
      1,
      1,
      1,
      1,
    ])
    const whole = collecting(3)
    await model.hidden([[...rows[0]!, ...ids.slice(0, -1)]], { at: 'none', states: whole.tap })
    const together = flat(whole.taken[0]!)
    const apart = flat(taken[0]!)
    expectClose(f32([apart.length], apart), f32([together.length], together), 1e-4)
  })

  it('take a program of their own, once, and only where they are asked for', async () => {
    await model.hidden(rows)
    const { tap } = collecting(1)
    const before = compiled
    await model.hidden(rows, { states: tap })
    expect(compiled).toBe(before + 1)
    await model.hidden(rows, { states: tap })
    await model.hidden(rows)
    expect(compiled).toBe(before + 1)
  })

  it('of a layer that is not there are refused, and those of a batch', async () => {
    await expect(model.hidden(rows, { states: collecting(5).tap })).rejects.toThrow(OptionError)
    await expect(model.hidden(rows, { states: collecting(5).tap })).rejects.toThrow(
      /no layer 5; the model has 5/,
    )
    await expect(model.generateBatch(rows, { states: collecting(1).tap })).rejects.toThrow(
      OptionError,
    )
  })
})

import * as ort from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../../adapters/adapter.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { FormatError, OptionError } from '../../base/errors.ts'
import { readOptions } from '../../base/schema.ts'
import { f32 } from '../../base/tensor.ts'
import { createOnnxRuntimeBackend } from '../../compute/onnxruntime.ts'
import { openBaseModel } from '../../graph/index.ts'
import { openDirectory } from '../../node/files/folder.ts'
import { createModel, type Model } from '../../runtime/index.ts'
import { createStateSource } from '../arrow/module-states.ts'
import { routerContract } from '../router.contract.ts'
import type { RoutedExpert, Router, StateSource } from '../router.ts'
import { arrow } from './arrow.ts'

const folder = new URL('../../catalogue/models/stories260k', import.meta.url).pathname
const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })
const modules = [0, 1].flatMap((layer) => [
  `model.layers.${layer}.mlp.up_proj`,
  `model.layers.${layer}.self_attn.q_proj`,
])
const prompts = {
  cats: 'The cat sat on the mat with a cat.',
  trees: 'Big green trees grow in a forest!',
}
let model: Model
let source: StateSource
const openStates = async (): Promise<StateSource> => source
let experts: RoutedExpert[]

const computeMean = (states: Float32Array, width: number): Float32Array =>
  Float32Array.from({ length: width }, (_, column) => {
    let sum = 0
    for (let at = column; at < states.length; at += width) sum += states[at]!
    return (sum * width) / states.length
  })

const computeDot = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, i) => sum + value * b[i]!, 0)

/** An adapter that answers, to what a prompt's mean state has beside another's. */
async function makeAdapter(text: string, other: string): Promise<Adapter> {
  const read = source.open(modules)
  const own = await read(text)
  const rest = await read(other)
  const config = { targets: ['q_proj', 'up_proj'], rank: 2 }
  const adapter = initializeAdapter('lora', config, model.base.graph, { seed: 1 })
  const tensors = new Map(adapter.tensors)
  for (const [key, { shape }] of tensors) {
    const path = modules.find((one) => key.includes(one))
    const [rows, width] = shape as [number, number]
    if (key.includes('lora_B'))
      tensors.set(key, f32(shape, new Float32Array(rows * width).fill(0.1)))
    else if (path) {
      const mean = computeMean(own.get(path)!, width)
      const away = computeMean(rest.get(path)!, width)
      const factor = computeDot(mean, away) / computeDot(away, away)
      const row = mean.map((value, i) => value - factor * away[i]!)
      tensors.set(key, f32(shape, [...row, ...row]))
    }
  }
  return { ...adapter, tensors }
}

beforeAll(async () => {
  const base = await openBaseModel({ name: 'stories260k', folder: await openDirectory(folder) })
  model = createModel({ base, backend })
  source = await createStateSource(model)
  const { cats, trees } = prompts
  experts = [
    { name: 'cats', adapter: await makeAdapter(cats, trees) },
    { name: 'trees', adapter: await makeAdapter(trees, cats) },
  ]
})
afterAll(async () => {
  await source.dispose()
  await model.dispose()
})

const train = async (given: object = {}, of: readonly RoutedExpert[] = experts): Promise<Router> =>
  arrow.train(
    { experts: of, examples: [], held: [], seed: 0 },
    readOptions('Router', Object.assign({ layers: 2, topK: 2 }, given), arrow.fields),
    { states: openStates },
  )

routerContract('arrow', async () => ({
  router: await train(),
  known: [
    { text: prompts.cats, expert: 'cats' },
    { text: prompts.trees, expert: 'trees' },
  ],
  load: (file) => arrow.load(file, { states: openStates }),
}))

describe('the states of modules', () => {
  it('are what the layer’s norm makes of the states that enter the layer', async () => {
    const text = prompts.cats
    const ids = model.encode(text)
    let entering: Float32Array | undefined
    await model.hidden([ids], {
      states: { layer: 0, take: (_row, states) => void (entering = states.slice()) },
    })
    const weight = await model.base.weights.read('model.layers.0.input_layernorm.weight')
    const width = model.config.width
    const own = (await source.open([modules[1]!])(text)).get(modules[1]!)!
    const tokens = own.length / width
    const start = entering!.length - own.length
    for (let t = 0; t < tokens; t++) {
      const row = entering!.subarray(start + t * width, start + (t + 1) * width)
      const square = row.reduce((sum, value) => sum + value * value, 0) / width
      row.forEach((value, i) =>
        expect(own[t * width + i]).toBeCloseTo(
          (value / Math.sqrt(square + model.config.normEpsilon)) *
            Number((weight.data as Float32Array)[i]),
          2,
        ),
      )
    }
  })

  it('are refused for modules that are not there', async () => {
    await expect(source.open(['model.layers.9.none'])('x')).rejects.toThrow(
      /no linear layer model\.layers\.9\.none/,
    )
  })
})

describe('the router "arrow"', () => {
  it('names the layers that spoke for an expert', async () => {
    const clues = await (await train()).explain!({ text: prompts.trees })
    expect(clues.map(({ text }) => text).toSorted()).toEqual(modules)
    expect(clues[0]!.expert).toBe('trees')
  })

  it('asks only the layers that it is asked to', async () => {
    const file = (await train({ layers: 1 })).save()
    expect(Object.keys(file.state['prototypes'] as object).toSorted()).toEqual(modules.slice(0, 2))
  })

  it('takes a new expert, and keeps it', async () => {
    const router = await train()
    router.add!({ name: 'third', adapter: experts[0]!.adapter })
    expect(router.experts).toEqual(['cats', 'trees', 'third'])
    const again = await arrow.load(router.save(), { states: openStates })
    expect((await again.decide({ text: prompts.cats })).scores).toEqual(
      (await router.decide({ text: prompts.cats })).scores,
    )
  })

  it('refuses experts without adapters, other bases, and files that are not whole', async () => {
    await expect(train({}, [{ name: 'a' }])).rejects.toThrow(OptionError)
    const training = { experts, examples: [], held: [], seed: 0 }
    await expect((async () => arrow.train(training, {}, {}))()).rejects.toThrow(/a model/)
    const file = (await train()).save()
    const load = (changed: object) => async () =>
      arrow.load(Object.assign({}, file, changed), { states: openStates })
    await expect(
      load({ state: Object.assign({}, file.state, { base: 'f'.repeat(64) }) })(),
    ).rejects.toThrow(/another base/)
    const empty = { base: source.sha256 }
    await expect(load({ state: empty })()).rejects.toThrow(FormatError)
    await expect(load({ experts: file.experts.slice(1) })()).rejects.toThrow(
      /got 2 experts, expected 1/,
    )
  })
})

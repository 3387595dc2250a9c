// The contract of an architecture, run for every row of the table on tiny random models: shapes,
// backends, sharing, checks when opening.

import { describe, expect, it } from 'vitest'
import { MismatchError, UnsupportedError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { f32, i64, type Tensor } from '../../base/tensor.ts'
import { openBaseModel, type BaseModel } from '../base-model.ts'
import { evaluate } from '../evaluate.ts'
import { collectModelFeeds } from '../feeds.ts'
import type { Graph } from '../ir.ts'
import type { ModelGraph } from '../model-graph.ts'
import { composeBlocks, listModules, collectWeightShapes } from '../model-graph.ts'
import { buildModelGraph } from '../build-model.ts'
import { expectClose, memoryFolder, normal } from '../testing.ts'
import { getArchitecture } from './architecture-table.ts'
import { onnxBackend } from '../../../test/support/onnx.ts'

type Json = Readonly<Record<string, unknown>>

/** Sizes of a model that a test runs in milliseconds; the head width is not width / heads. */
export const tinySizes = {
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 6,
  vocab_size: 19,
  max_position_embeddings: 32,
  rms_norm_eps: 1e-5,
}

/** The suite's data on an architecture. */
export interface TinyModel {
  readonly title?: string
  /** Keys in addition to model_type and the sizes. */
  readonly config?: Json
  /** How many different graphs its four layers need. */
  readonly layerGraphs: number
  /** Linear layers in layer 2. */
  readonly linears: number
  /** Names that differ from llama's. */
  readonly names?: { readonly norm?: string; readonly down?: string }
}

const getNames = ({ names }: TinyModel) => ({
  norm: `${names?.norm ?? 'model.norm'}.weight`,
  down: names?.down ?? 'mlp.down_proj',
})

export function randomModelWeights(model: ModelGraph, seed: number): Map<string, Tensor> {
  const numbers = random(seed)
  return new Map(
    [...collectWeightShapes(model.blocks)].map(([name, shape]) => [
      name,
      normal(numbers, shape as number[], 0.3),
    ]),
  )
}

const configJson = (modelType: string, { config }: TinyModel): Json => ({
  ...tinySizes,
  model_type: modelType,
  ...config,
})

const modelOf = (json: Json): ModelGraph => buildModelGraph(getArchitecture(json).readConfig(json))

const open = (json: Json, weights: ReadonlyMap<string, Tensor>): Promise<BaseModel> =>
  openBaseModel({
    name: 'tiny',
    folder: memoryFolder('tiny', { 'config.json': JSON.stringify(json) }, weights),
  })

async function onOnnxRuntime(
  graph: Graph,
  feeds: ReadonlyMap<string, Tensor>,
): Promise<Map<string, Tensor>> {
  const program = await onnxBackend.compile(graph)
  try {
    return await program.run(feeds)
  } finally {
    await program.dispose()
  }
}

function computes(json: Json): void {
  const model = modelOf(json)
  const graph = composeBlocks(model.blocks)
  const weights = randomModelWeights(model, 5)
  const feeds = (ids: number[][], rows: number[], segments?: number[][]): Map<string, Tensor> =>
    new Map([
      ...weights,
      ...collectModelFeeds(model.config, { ids, ...(segments ? { segments } : {}) }),
      ['rows', i64([rows.length], rows)],
    ])
  const ids = [
    [3, 1, 4, 1, 5, 9, 2, 6],
    [5, 3, 5, 8, 9, 7, 9, 3],
  ]

  it('gives hidden [M, D] and logits [M, V], the same on the reference and on ONNX Runtime', async () => {
    const fed = feeds(ids, [0, 7, 7, 12])
    const expected = evaluate(graph, fed)
    expect(expected.get('hidden')!.shape).toEqual([4, tinySizes.hidden_size])
    expect(expected.get('logits')!.shape).toEqual([4, tinySizes.vocab_size])
    const got = await onOnnxRuntime(graph, fed)
    expectClose(got.get('logits'), expected.get('logits')!, 1e-4, 'logits')
    expectClose(got.get('hidden'), expected.get('hidden')!, 1e-4, 'hidden')
  })

  it('sees nothing that comes later', () => {
    const rows = [0, 1, 2, 3, 4]
    const changed = ids.map((row) => row.with(5, 11).with(7, 0))
    const [one, other] = [ids, changed].map((tokens) =>
      evaluate(graph, feeds(tokens, rows)).get('logits')!,
    )
    expectClose(other, one!, 0, 'logits before the change')
  })

  it('computes packed sequences as each alone, whatever padding follows', () => {
    const packed = evaluate(
      graph,
      feeds([[3, 1, 4, 5, 9, 2, 6, 0]], [0, 1, 2, 3, 4, 5, 6], [[0, 0, 0, 7, 7, 7, 7, -1]]),
    ).get('logits')!
    const first = evaluate(graph, feeds([[3, 1, 4]], [0, 1, 2])).get('logits')!
    const second = evaluate(graph, feeds([[5, 9, 2, 6]], [0, 1, 2, 3])).get('logits')!
    const alone = f32(
      packed.shape,
      Float32Array.of(...(first.data as Float32Array), ...(second.data as Float32Array)),
    )
    expectClose(packed, alone, 1e-5, 'packed logits')
  })
}

function isShared(json: Json, tiny: TinyModel): void {
  const { layerGraphs, linears } = tiny
  const model = modelOf(json)

  it('shares one graph among equal layers', () => {
    expect(
      new Set(model.blocks.filter(({ kind }) => kind === 'layer').map(({ graph }) => graph)).size,
    ).toBe(layerGraphs)
  })
  it('names every linear layer, the embedding and the head as modules', () => {
    const modules = listModules(model)
    expect(modules.filter(({ layer }) => layer === 2)).toHaveLength(linears)
    expect(
      modules.filter(({ layer }) => layer === undefined).map(({ path, kind }) => [path, kind]),
    ).toEqual([
      ['model.embed_tokens', 'embedding'],
      ['lm_head', 'linear'],
    ])
    const path = `model.layers.2.${getNames(tiny).down}`
    const down = modules.find((module) => module.path === path)
    expect(down).toMatchObject({
      layer: 2,
      inFeatures: tinySizes.intermediate_size,
      outFeatures: tinySizes.hidden_size,
    })
  })
}

function checksWeights(json: Json, tiny: TinyModel): void {
  const { norm, down } = getNames(tiny)
  const weights = randomModelWeights(modelOf(json), 6)

  it('opens weights that fit, and leaves out stored rotary tables', async () => {
    const stored = 'model.layers.0.self_attn.rotary_emb.inv_freq'
    const base = await open(json, new Map([...weights, [stored, f32([3])]]))
    expect(base.ignoredTensors).toEqual([stored])
    expect([...(await base.weights.read(norm)).shape]).toEqual([tinySizes.hidden_size])
  })
  it('names every missing, unknown and misshapen tensor in one error', async () => {
    const broken = new Map(weights)
    broken.delete(`model.layers.1.${down}.weight`)
    broken.set('model.layers.3.self_attn.extra.weight', f32([2]))
    broken.set(norm, f32([3]))
    const error = await open(json, broken).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(MismatchError)
    expect((error as MismatchError).mismatches).toHaveLength(3)
    for (const name of [
      `model.layers.1.${down}.weight`,
      'model.layers.3.self_attn.extra.weight',
      norm,
    ]) {
      expect(String(error)).toContain(name)
    }
  })
}

function refuses(json: Json): void {
  const read = (extra: Json) => () => getArchitecture(json).readConfig({ ...json, ...extra })

  it('another activation, RoPE scaling or packing of weights', () => {
    expect(read({ hidden_act: 'relu', hidden_activation: 'relu' })).toThrow(UnsupportedError)
    expect(read({ rope_scaling: { rope_type: 'proportional', factor: 2 } })).toThrow(
      UnsupportedError,
    )
    expect(read({ rope_scaling: { rope_type: 'longrope', factor: 2 } })).toThrow(/longrope/)
    expect(read({ quantization_config: { quant_method: 'gptq' } })).toThrow(/gptq/)
  })
  it('sizes that are missing or no sizes', () => {
    expect(read({ hidden_size: undefined })).toThrow('"hidden_size" is missing')
    expect(read({ num_hidden_layers: 1e9 })).toThrow('at most 1024')
    expect(read({ num_key_value_heads: 3 })).toThrow('evenly')
    expect(read({ vocab_size: -1 })).toThrow('"vocab_size" is -1')
  })
}

/** Runs the suite for one tiny model of an architecture. */
export function architectureContract(modelType: string, tiny: TinyModel): void {
  const json = configJson(modelType, tiny)
  describe(`${modelType}${tiny.title ? `, ${tiny.title}` : ''}`, () => {
    describe('computes', () => {
      computes(json)
    })
    describe('is made of blocks', () => {
      isShared(json, tiny)
    })
    describe('checks weights', () => {
      checksWeights(json, tiny)
    })
    describe('refuses', () => {
      refuses(json)
    })
  })
}

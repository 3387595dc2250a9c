import { describe, expect, it } from 'vitest'
import { i64, type Tensor } from '../base/tensor.ts'
import { buildModelGraph } from './build-model.ts'
import { GraphBuilder } from './builder.ts'
import { evaluate } from './evaluate.ts'
import { collectModelFeeds } from './feeds.ts'
import { toGradientName, withGradients } from './passes/gradient.ts'
import { composeBlocks, listBlockModules, collectWeightShapes, type Block } from './model-graph.ts'
import { randomModelWeights, tinySizes } from './models/architecture.contract.ts'
import { llama } from './models/llama.ts'
import { expectClose } from './testing.ts'

const model = buildModelGraph(
  llama.readConfig({ ...tinySizes, model_type: 'llama', tie_word_embeddings: true }),
)
const weights = randomModelWeights(model, 2)
const feeds = collectModelFeeds(model.config, { ids: [[3, 1, 4, 1]] }).set('rows', i64([2], [1, 3]))

/** Runs block after block, as a host with one program a graph does. */
function runBlocks(blocks: readonly Block[]): Map<string, Tensor> {
  let outputs = new Map<string, Tensor>()
  for (const { graph, prefix } of blocks) {
    const fed = new Map([...feeds, ...outputs])
    for (const { name, role } of graph.inputs)
      if (role === 'weight') fed.set(name, weights.get(prefix + name)!)
    outputs = evaluate(graph, fed)
  }
  return outputs
}

describe('composeBlocks', () => {
  it('chains blocks into one graph that computes what they compute one by one', () => {
    const whole = evaluate(composeBlocks(model.blocks), new Map([...weights, ...feeds]))
    const apart = runBlocks(model.blocks)
    expect([...whole.keys()]).toEqual(['hidden', 'logits'])
    for (const name of whole.keys()) expectClose(whole.get(name), apart.get(name)!, 0, name)
  })
  it('gives weights and modules their full paths, and reads a tied table once', () => {
    const graph = composeBlocks(model.blocks)
    const names = graph.inputs.filter(({ role }) => role === 'weight').map(({ name }) => name)
    expect(names.sort()).toEqual([...collectWeightShapes(model.blocks).keys()].sort())
    expect(names.filter((name) => name === 'model.embed_tokens.weight')).toHaveLength(1)
    const modules = graph.nodes.flatMap(({ attributes }) => attributes.module ?? [])
    expect(modules).toContain('model.layers.3.self_attn.q_proj')
    expect(new Set(modules).size).toBe(modules.length)
  })
  it('keeps x as an input and as an output of a chain that begins or ends inside the model', () => {
    const [, first, second] = model.blocks
    const graph = composeBlocks([first!, second!])
    expect(graph.inputs.some(({ name }) => name === 'x')).toBe(true)
    expect([...graph.outputs.keys()]).toEqual(['x'])
  })
  it('never gives two values one name, also where blocks share a graph and hold constants', () => {
    const g = new GraphBuilder()
    g.output(
      'x',
      g.add(
        g.input('x', 'f32', ['N']),
        g.constant({ dtype: 'f32', shape: [1], data: Float32Array.of(1) }),
      ),
    )
    const block = (layer: number): Block => ({
      kind: 'layer',
      prefix: `model.layers.${layer}.`,
      graph: g.build(),
    })
    const chain = composeBlocks([block(0), block(1), block(2)])
    expect(
      evaluate(chain, new Map([['x', { dtype: 'f32', shape: [1], data: Float32Array.of(5) }]])).get(
        'x',
      )!.data[0],
    ).toBe(8)
  })
  it('can be differentiated whole: gradients reach the first layer and the tied table', () => {
    const names = ['model.embed_tokens.weight', 'model.layers.0.self_attn.k_proj.weight']
    const graph = withGradients(composeBlocks(model.blocks), {
      of: ['logits'],
      withRespectTo: names,
      keep: [],
    })
    const seed: Tensor = { dtype: 'f32', shape: [2, 19], data: new Float32Array(38).fill(1) }
    const gradients = evaluate(
      graph,
      new Map([...weights, ...feeds, [toGradientName('logits'), seed]]),
    )
    for (const name of names) {
      const { shape, data } = gradients.get(toGradientName(name))!
      expect(shape).toEqual(weights.get(name)!.shape)
      expect((data as Float32Array).some((value) => Math.abs(value) > 1e-3)).toBe(true)
    }
  })
})

describe('modulesOfBlock', () => {
  it('gives path, kind, sizes, bias and layer', () => {
    const [q] = listBlockModules(model.blocks[2]!)
    expect(q).toEqual({
      path: 'model.layers.1.self_attn.q_proj',
      kind: 'linear',
      inFeatures: 16,
      outFeatures: 24,
      bias: false,
      layer: 1,
    })
    const [table] = listBlockModules(model.blocks[0]!)
    expect(table).toEqual({
      path: 'model.embed_tokens',
      kind: 'embedding',
      inFeatures: 19,
      outFeatures: 16,
      bias: false,
    })
  })
})

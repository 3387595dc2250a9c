import { describe, expect, it } from 'vitest'
import { i64, type Tensor } from '../../base/tensor.ts'
import { buildModelGraph } from '../build-model.ts'
import { GraphBuilder } from '../builder.ts'
import { evaluate } from '../evaluate.ts'
import { collectModelFeeds } from '../feeds.ts'
import { gatherEarly } from './gather-early.ts'
import { toGradientName, withGradients } from './gradient.ts'
import { composeBlocks } from '../model-graph.ts'
import { randomModelWeights, tinySizes } from '../models/architecture.contract.ts'
import { architectures } from '../models/architecture-table.ts'
import { expectClose } from '../testing.ts'

const model = buildModelGraph(
  architectures.get('llama')!.readConfig({ ...tinySizes, model_type: 'llama' }),
)
const feeds = new Map<string, Tensor>([
  ...randomModelWeights(model, 2),
  ...collectModelFeeds(model.config, {
    ids: [
      [3, 1, 4, 1],
      [2, 7, 1, 8],
    ],
  }).set('rows', i64([3], [1, 3, 6])),
])
const whole = composeBlocks(model.blocks)
const early = gatherEarly(whole)
const shapesOf = (graph: typeof whole, module: string) =>
  graph.nodes
    .filter(({ attributes }) => attributes['module'] === module)
    .map(({ output }) => output.shape.join())

describe('rows picked early', () => {
  it('give the same outputs', () => {
    const got = evaluate(early, feeds)
    const expected = evaluate(whole, feeds)
    for (const name of ['hidden', 'logits'])
      expectClose(got.get(name), expected.get(name)!, 1e-6, name)
  })
  it('give the same gradients', () => {
    const names = [
      'model.layers.0.self_attn.k_proj.weight',
      'model.layers.3.mlp.up_proj.weight',
      'model.norm.weight',
    ]
    const seed: Tensor = {
      dtype: 'f32',
      shape: [3, 19],
      data: Float32Array.from({ length: 57 }, (_, i) => Math.cos(i)),
    }
    const gradients = (graph: typeof whole) =>
      evaluate(
        withGradients(graph, { of: ['logits'], withRespectTo: names, keep: [] }),
        new Map([...feeds, [toGradientName('logits'), seed]]),
      )
    const got = gradients(early)
    const expected = gradients(whole)
    for (const name of names)
      expectClose(got.get(toGradientName(name)), expected.get(toGradientName(name))!, 1e-5, name)
  })
  it('spare the last layer’s feed-forward part and output, and nothing in front of its attention', () => {
    expect(shapesOf(early, 'model.layers.3.mlp.down_proj')).toEqual(['M,16'])
    expect(shapesOf(early, 'model.layers.3.mlp.up_proj')).toEqual(
      ['M,28'].map((shape) => shape.replace('28', String(tinySizes.intermediate_size))),
    )
    expect(shapesOf(early, 'model.layers.3.self_attn.o_proj')).toEqual(['M,16'])
    expect(shapesOf(early, 'model.layers.3.self_attn.q_proj')).toEqual(
      shapesOf(whole, 'model.layers.3.self_attn.q_proj'),
    )
    expect(shapesOf(early, 'model.layers.2.mlp.down_proj')).toEqual(['N,T,16'])
  })
  it('leave what is given out whole, or picked by two lists, as it was', () => {
    const g = new GraphBuilder()
    const x = g.silu(g.input('x', 'f32', ['N', 'T', 2]))
    const given = g.scale(x, 2)
    const twice = g.scale(x, 3)
    const once = g.scale(x, 4)
    const one = g.input('one', 'i64', ['M'])
    const two = g.input('two', 'i64', ['L'])
    g.output('whole', given)
    g.output('picked', g.op('gatherRows', [given, one]))
    g.output('left', g.op('gatherRows', [twice, one]))
    g.output('right', g.op('gatherRows', [twice, two]))
    g.output('early', g.op('gatherRows', [once, two]))
    const graph = gatherEarly(g.build())
    const fed = new Map<string, Tensor>([
      ['x', { dtype: 'f32', shape: [1, 3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6) }],
      ['one', i64([1], [2])],
      ['two', i64([2], [0, 1])],
    ])
    expect([...evaluate(graph, fed)]).toEqual([...evaluate(g.build(), fed)])
    const scales = graph.nodes.filter(({ operation }) => operation === 'scale')
    expect(
      scales.map(({ attributes, output }) => [attributes['factor'], output.shape.join()]),
    ).toEqual([
      [2, 'N,T,2'],
      [3, 'N,T,2'],
      [4, 'L,2'],
    ])
  })
})

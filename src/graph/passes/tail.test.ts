import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { i64, type Tensor } from '../../base/tensor.ts'
import { buildModelGraph } from '../build-model.ts'
import { evaluate } from '../evaluate.ts'
import { collectModelFeeds } from '../feeds.ts'
import { toGradientName, withGradients } from './gradient.ts'
import { composeBlocks, collectWeightShapes } from '../model-graph.ts'
import { randomModelWeights, tinySizes } from '../models/architecture.contract.ts'
import { llama } from '../models/llama.ts'
import { getLayerInputName, sliceFront, sliceTail, removeLogits } from './tail.ts'
import { expectClose } from '../testing.ts'

const model = buildModelGraph(
  llama.readConfig({ ...tinySizes, model_type: 'llama', tie_word_embeddings: true }),
)
const weights = randomModelWeights(model, 2)
const feeds = collectModelFeeds(model.config, { ids: [[3, 1, 4, 1]] }).set('rows', i64([2], [1, 3]))
const layers = model.config.layers.length
const all = new Map<string, Tensor>([...weights, ...feeds])

describe.each([0, 1, layers - 1])('the tail from layer %i on', (layer) => {
  const front = (): Tensor =>
    evaluate(composeBlocks(sliceFront(model, layer).blocks), all).get('x')!

  it('makes of what the front gives exactly what the whole model makes', () => {
    const whole = evaluate(composeBlocks(model.blocks), all)
    const tail = evaluate(
      composeBlocks(sliceTail(model, layer).blocks),
      new Map([...all, ['x', front()]]),
    )
    for (const name of ['hidden', 'logits']) expectClose(tail.get(name), whole.get(name)!, 0, name)
  })
  it('has the whole model’s gradients', () => {
    const names = [
      `model.layers.${layer}.self_attn.v_proj.weight`,
      `model.layers.${layers - 1}.mlp.down_proj.weight`,
      'model.norm.weight',
    ]
    const seed: Tensor = {
      dtype: 'f32',
      shape: [2, 19],
      data: Float32Array.from({ length: 38 }, (_, i) => Math.sin(i)),
    }
    const gradients = (graph: ReturnType<typeof composeBlocks>, fed: ReadonlyMap<string, Tensor>) =>
      evaluate(
        withGradients(graph, { of: ['logits'], withRespectTo: names, keep: [] }),
        new Map([...fed, [toGradientName('logits'), seed]]),
      )
    const whole = gradients(composeBlocks(model.blocks), all)
    const tail = gradients(
      composeBlocks(sliceTail(model, layer).blocks),
      new Map([...all, ['x', front()]]),
    )
    for (const name of names)
      // added up in another order
      expectClose(tail.get(toGradientName(name)), whole.get(toGradientName(name))!, 1e-6, name)
  })
  it('is fed what the whole model calls by the name given for it', () => {
    const whole = composeBlocks(model.blocks)
    const value = whole.nodes.find(
      ({ output }) => output.name === getLayerInputName(model, layer),
    )!.output
    const told = { ...whole, outputs: new Map([...whole.outputs, ['entering', value]]) }
    expectClose(evaluate(told, all).get('entering'), front(), 0)
  })
})

describe('a tail', () => {
  it('without logits reads no matrix of the head', () => {
    expect([...collectWeightShapes(sliceTail(model, 1).blocks).keys()]).toContain(
      'model.embed_tokens.weight',
    )
    const blocks = removeLogits(sliceTail(model, 1).blocks)
    expect([...collectWeightShapes(blocks).keys()]).not.toContain('model.embed_tokens.weight')
    expect([...composeBlocks(blocks).outputs.keys()]).toEqual(['hidden'])
  })
  it('from a layer that is not there is refused, with how many there are', () => {
    for (const layer of [layers, -1, 0.5]) {
      expect(() => sliceTail(model, layer)).toThrow(OptionError)
      expect(() => getLayerInputName(model, layer)).toThrow(
        `There is no layer ${layer}; the model has ${layers}, from 0.`,
      )
    }
  })
})

import { beforeAll, describe, expect, it } from 'vitest'
import { random } from '../base/random.ts'
import { f32, type F32Tensor, type Tensor } from '../base/tensor.ts'
import { GraphBuilder } from '../graph/builder.ts'
import { composeBlocks, type Block, type ModelGraph } from '../graph/model-graph.ts'
import { rewrite } from '../graph/passes/rewrite.ts'
import { toAdapterFeeds } from './adapter.ts'
import { initializeAdapter } from './create-adapter.ts'
import { attach, attachKind } from './attach.ts'
import {
  type Base,
  feedsFor,
  furthest,
  logitsOf,
  storiesBase,
} from '../../test/support/adapters.ts'
import { toPeftKey } from './keys.ts'
import type { AdapterConfig, AdapterKind, ParameterSpec } from './kinds/kind.ts'
import { completeLora } from './kinds/lora-config.ts'
import { createTargetMatcher } from './targets.ts'

let base: Base
let model: ModelGraph
const ids = [[1, 40, 9, 222]]
beforeAll(async () => {
  base = await storiesBase()
  model = base.model
})

const inputsOf = (block: Block, role: string): string[] =>
  block.graph.inputs.filter((input) => input.role === role).map(({ name }) => name)

describe('attach', () => {
  it('names each tensor within its block, so that with the prefix it is the PEFT key', () => {
    const adapter = initializeAdapter('lora', { rank: 2, targets: ['q_proj', 'lm_head'] }, model, {
      seed: 1,
    })
    const attached = attach(model, adapter)
    expect(inputsOf(attached.blocks[1]!, 'adapter')).toEqual([
      'self_attn.q_proj.lora_A.weight',
      'self_attn.q_proj.lora_B.weight',
    ])
    const keys = attached.blocks.flatMap((block) =>
      inputsOf(block, 'adapter').map((name) => toPeftKey(block.prefix + name)),
    )
    expect(keys.sort()).toEqual([...adapter.tensors.keys()].sort())
  })

  it('lets layers of equal structure share one graph, and only those', () => {
    const config = completeLora({
      targets: ['q_proj'],
      rankPattern: { 'layers.[13].self_attn.q_proj': 3 },
      exclude: ['layers.4.self_attn.q_proj'],
    })
    const graphs = attach(model, { kind: 'lora', config }).blocks.map(({ graph }) => graph)
    const [, zero, one, two, three, four] = graphs
    expect(zero).toBe(two)
    expect(one).toBe(three)
    expect(new Set([zero, one, four]).size).toBe(3)
    expect(graphs.filter((graph) => graph === zero)).toHaveLength(2)
  })

  it('leaves the model that it was given as it was', () => {
    const before = JSON.stringify(model)
    attach(model, { kind: 'lora', config: completeLora({ targets: 'all-linear' }) })
    expect(JSON.stringify(model)).toBe(before)
  })

  it('asks for a keep-mask only where there is dropout and training', () => {
    const masks = (dropout: number, training: boolean): string[] =>
      inputsOf(
        attach(
          model,
          { kind: 'lora', config: completeLora({ targets: ['up_proj'], dropout }) },
          { training },
        ).blocks[2]!,
        'feed',
      ).filter((name) => name.startsWith('dropout:'))
    expect(masks(0.1, true)).toEqual(['dropout:mlp.up_proj'])
    expect(masks(0.1, false)).toEqual([])
    expect(masks(0, true)).toEqual([])
  })

  it('reports when an adapter touches nothing', () => {
    expect(() =>
      attach(model, { kind: 'lora', config: completeLora({ targets: ['c_attn'] }) }),
    ).toThrow('changes no layer of this model')
  })

  it('reaches layers that are packed in blocks, and reports what it cannot do to them', () => {
    const g = new GraphBuilder()
    const parts = [
      g.input('p.codes', 'u8', [3, 1, 16], 'weight'),
      g.input('p.scales', 'f32', [3], 'weight'),
    ]
    const x = g.input('x', 'f32', ['N', 'T', 32])
    g.output(
      'x',
      g.op('quantizedLinear', [x, ...parts], {
        bits: 4,
        block: 32,
        outFeatures: 3,
        inFeatures: 32,
        accuracy: 0,
        module: 'self_attn.q_proj',
      }),
    )
    const packed: ModelGraph = {
      ...model,
      blocks: [{ kind: 'layer', prefix: 'model.layers.0.', graph: g.build() }],
    }
    const [block] = attach(packed, {
      kind: 'lora',
      config: completeLora({ targets: ['q_proj'], rank: 2 }),
    }).blocks
    expect(block!.graph.nodes.map(({ operation }) => operation)).toEqual([
      'quantizedLinear',
      'matmul',
      'matmul',
      'add',
    ])
    expect(block!.graph.inputs.find(({ name }) => name.endsWith('lora_A.weight'))?.shape).toEqual([
      2, 32,
    ])
  })
})

// Kinds of other shapes than LoRA's, to see that the contract carries them: only what each needs of
// it is written out.

const config: AdapterConfig = {
  targets: ['v_proj', 'down_proj'],
  exclude: [],
  layersPattern: [],
  dropout: 0,
}
const spec = (name: string, shape: readonly number[], trainable = true): ParameterSpec => ({
  name,
  shape,
  trainable,
  start: () => new Float32Array(),
})
const unused = (): never => {
  throw new Error('not needed here')
}
const toy = (
  kind: Pick<AdapterKind, 'parameters' | 'apply'> & Partial<AdapterKind>,
): AdapterKind => ({
  name: 'toy',
  peftType: 'TOY',
  effect: 'adds',
  mark: 'toy_',
  options: {},
  complete: unused,
  readConfig: unused,
  writeConfig: unused,
  ...kind,
})
const noise = (shape: readonly number[], seed = 1, around = 0): F32Tensor => {
  const generator = random(seed)
  return f32(
    shape,
    Array.from(
      { length: shape.reduce((a, b) => a * b, 1) },
      () => around + 0.2 * generator.normal(),
    ),
  )
}
const onTargets =
  (
    specs: (inFeatures: number, outFeatures: number) => ParameterSpec[],
  ): AdapterKind['parameters'] =>
  (given, module) =>
    createTargetMatcher(given)(module) ? specs(module.inFeatures, module.outFeatures) : []

describe('the contract', () => {
  const logits = (
    attached: ModelGraph,
    feeds: ReadonlyMap<string, Tensor>,
  ): Promise<Float32Array> => logitsOf(attached, new Map([...feedsFor(base, ids), ...feeds]))
  const changed = async (
    feeds: ReadonlyMap<string, Tensor>,
    change: (weight: F32Tensor, path: string) => Float32Array,
  ): Promise<Float32Array> => {
    const weights = [...base.weights].map(([name, weight]): [string, Tensor] => {
      const path = name.replace(/\.weight$/, '')
      return [
        name,
        /(v_proj|down_proj)$/.test(path) ? f32(weight.shape, change(weight, path)) : weight,
      ]
    })
    return logitsOf(model, new Map([...feedsFor(base, ids), ...weights, ...feeds]))
  }

  it('carries kinds that scale inputs or outputs (IA3)', async () => {
    const inward = (path: string): boolean => path.endsWith('down_proj')
    const ia3 = toy({
      parameters: (given, module) =>
        createTargetMatcher(given)(module)
          ? [spec('ia3_l', inward(module.path) ? [1, module.inFeatures] : [1, module.outFeatures])]
          : [],
      apply(g, site) {
        const scale = site.parameter('ia3_l')
        return inward(site.module.path)
          ? site.base({ x: g.multiply(site.x, scale) })
          : g.multiply(site.base(), scale)
      },
    })
    const attached = attachKind(model, ia3, config)
    const inputs = composeBlocks(attached.blocks).inputs.filter(({ role }) => role === 'adapter')
    const feeds = new Map(
      inputs.map(({ name, shape }, i) => [name, noise(shape as number[], i, 1)]),
    )
    const folded = await changed(new Map(), ({ data, shape }, path) => {
      const scale = feeds.get(`${path}.ia3_l`)!.data
      const columns = shape[1]!
      return data.map(
        (value, i) => value * scale[inward(path) ? i % columns : Math.floor(i / columns)]!,
      )
    })
    expect(inputs).toHaveLength(10)
    expect(furthest(await logits(attached, feeds), folded)).toBeLessThan(1e-3)
  })

  it('carries kinds that need the base weight in the graph (DoRA)', async () => {
    const dora = toy({
      parameters: onTargets((_inFeatures, outFeatures) => [
        spec('lora_magnitude_vector', [outFeatures]),
      ]),
      apply(g, site) {
        const squares = g.reduceSum(g.multiply(site.weight!, site.weight!), [1])
        const norm = g.op('stopGradient', [g.op('squareRoot', [squares])])
        return g.multiply(site.base(), g.divide(site.parameter('lora_magnitude_vector'), norm))
      },
    })
    const attached = attachKind(model, dora, config)
    const names = composeBlocks(attached.blocks).inputs.filter(({ role }) => role === 'adapter')
    const feeds = new Map(names.map(({ name, shape }, i) => [name, noise(shape as number[], i, 1)]))
    const folded = await changed(new Map(), ({ data, shape }, path) => {
      const columns = shape[1]!
      const norms = Array.from({ length: shape[0]! }, (_, row) =>
        Math.hypot(...data.subarray(row * columns, (row + 1) * columns)),
      )
      return data.map(
        (value, i) =>
          (value * feeds.get(`${path}.lora_magnitude_vector`)!.data[Math.floor(i / columns)]!) /
          norms[Math.floor(i / columns)]!,
      )
    })
    expect(furthest(await logits(attached, feeds), folded)).toBeLessThan(1e-3)
  })

  it('carries tensors that many modules share (VeRA)', async () => {
    const shared = 'base_model.vera_A'
    const vera = toy({
      parameters: onTargets((_inFeatures, outFeatures) => [
        spec('vera_lambda_b', [outFeatures, 4]),
      ]),
      shared: () => [spec(shared, [4, 172], false)],
      apply(g, site) {
        const own = g.slice(site.parameter(shared), 1, 0, site.module.inFeatures)
        return g.add(
          site.base(),
          g.matmul(g.matmul(site.x, own, { transB: true }), site.parameter('vera_lambda_b'), {
            transB: true,
          }),
        )
      },
    })
    const attached = attachKind(model, vera, config)
    const inputs = composeBlocks(attached.blocks).inputs
    expect(inputs.filter(({ name }) => name === shared)).toHaveLength(1)
    const feeds = new Map(
      inputs
        .filter(({ role, name }) => role === 'adapter' || name === shared)
        .map(({ name, shape }, i) => [name, noise(shape as number[], i)]),
    )
    const adapter = {
      tensors: new Map([...feeds].map(([name, tensor]) => [toPeftKey(name), tensor])),
    }
    expect(toAdapterFeeds(adapter)).toEqual(feeds)
    const projection = feeds.get(shared)!.data
    const folded = await changed(new Map(), ({ data, shape }, path) => {
      const own = feeds.get(`${path}.vera_lambda_b`)!.data
      const columns = shape[1]!
      return data.map((value, i) => {
        const row = Math.floor(i / columns)
        const column = i % columns
        return (
          value +
          [0, 1, 2, 3].reduce(
            (sum, r) => sum + own[row * 4 + r]! * projection[r * 172 + column]!,
            0,
          )
        )
      })
    })
    expect(furthest(await logits(attached, feeds), folded)).toBeLessThan(1e-3)
  })

  it('carries kinds without a weight, which act on what flows into a block (soft prompts)', async () => {
    const name = 'prompt_embeddings'
    const prompt = toy({
      parameters: () => [],
      apply: unused,
      applyToBlock(block) {
        if (block.kind !== 'embed') return block
        const graph = rewrite(block.graph, '%p', () => undefined)
        const g = new GraphBuilder('%p')
        for (const input of graph.inputs) g.input(input.name, input.dtype, input.shape, input.role)
        for (const node of graph.nodes) g.adopt(node)
        g.output('x', g.add(graph.outputs.get('x')!, g.input(name, 'f32', [64], 'feed')))
        return { ...block, graph: g.build() }
      },
    })
    const attached = attachKind(model, prompt, { ...config, targets: [] })
    const shift = noise([64])
    const moved = base.weights
      .get('model.embed_tokens.weight')!
      .data.map((value, i) => value + shift.data[i % 64]!)
    const embedOnly: ModelGraph = { ...model, blocks: model.blocks.slice(0, 1) }
    const x = async (one: ModelGraph, feeds: [string, Tensor][]): Promise<Float32Array> => {
      const { backend } = await import('../../test/support/adapters.ts')
      const program = await backend.compile(composeBlocks(one.blocks.slice(0, 1)))
      return (await program.run(new Map([...feedsFor(base, ids), ...feeds]))).get('x')!
        .data as Float32Array
    }
    const expected = await x(embedOnly, [['model.embed_tokens.weight', f32([512, 64], moved)]])
    expect(toPeftKey(name)).toBe(name)
    expect(furthest(await x(attached, [[name, shift]]), expected)).toBeLessThan(1e-6)
  })
})

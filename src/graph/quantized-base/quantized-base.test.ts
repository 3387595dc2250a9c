import { describe, expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import type { F32Tensor } from '../../base/tensor.ts'
import { GraphBuilder } from '../builder.ts'
import { withGradients } from '../passes/gradient.ts'
import type { Graph } from '../ir.ts'
import type { Block } from '../model-graph.ts'
import { normal } from '../testing.ts'
import { toOnnx } from '../passes/to-onnx.ts'
import { freezeBlocks, collectFrozenFeeds } from '../passes/freeze-blocks.ts'
import { quantizations, type Quantization } from './frozen-form-table.ts'
import { type BaseWeight, freeze, isFrozen, thaw, countWeightBytes } from './quantize-weight.ts'

const shapes = { 'up.weight': [192, 128], 'down.weight': [128, 192] } as const

/** y = x + down(silu(up(x))), as a block with a prefix of its own. */
function blockOf(prefix: string, graph?: Graph): Block {
  const g = new GraphBuilder()
  const x = g.input('x', 'f32', ['M', 128])
  const up = g.linear(x, g.weight('up.weight', shapes['up.weight']), 'up')
  g.output(
    'x',
    g.add(x, g.linear(g.silu(up), g.weight('down.weight', shapes['down.weight']), 'down')),
  )
  return { kind: 'layer', prefix, graph: graph ?? g.build() }
}

const weightsOf = (
  quantization: Quantization,
  prefixes: readonly string[],
): Map<string, BaseWeight> =>
  new Map(
    prefixes.flatMap((prefix) =>
      Object.entries(shapes).map(
        ([name, shape], i) =>
          [prefix + name, freeze(normal(random(i), shape, 0.02), quantization, true)] as const,
      ),
    ),
  )

/** Names of ONNX values that wait for one of the given inputs. */
function waitingFor(
  inputs: readonly string[],
  nodes: ReturnType<typeof toOnnx>['nodes'],
): Set<string> {
  const waiting = new Set(inputs)
  for (const node of nodes)
    if (node.inputs.some((name) => waiting.has(name)))
      for (const name of node.outputs) waiting.add(name)
  return waiting
}

describe.each([...quantizations])('blocks over %s', (quantization) => {
  const weights = weightsOf(quantization, ['a.', 'b.'])
  const [first, second] = freezeBlocks(weights)(
    [blockOf('a.'), blockOf('b.')].map((block, _, all) => ({ ...block, graph: all[0]!.graph })),
  )

  it('of one graph go on sharing one, whose inputs are the parts', () => {
    expect(first!.graph).toBe(second!.graph)
    const fed = new Set(
      [...weights].flatMap(([name, weight]) =>
        [...collectFrozenFeeds(name, weight)].map(([input]) => input),
      ),
    )
    const wanted = [first!, second!].flatMap(({ graph, prefix }) =>
      graph.inputs.filter(({ role }) => role === 'weight').map(({ name }) => prefix + name),
    )
    expect(new Set(wanted)).toEqual(fed)
    expect(wanted).not.toContain('a.up.weight')
  })

  it('make no weight in f32 before what it is multiplied by is there, forward or backward', () => {
    // Else all of them are made when a program starts: 40 layers of 1024 × 1024 then take 178 MiB
    // instead of 11.
    const { nodes } = toOnnx(withGradients(first!.graph, { of: ['x'], withRespectTo: ['x'] }))
    const waiting = waitingFor(['x', 'gradient:x'], nodes)
    const made = nodes.filter(({ type }) => type === 'DequantizeLinear' || type === 'MatMulBnb4')
    expect(made).toHaveLength(4) // two layers, both ways
    for (const node of made)
      expect(
        node.inputs.some((name) => waiting.has(name)),
        node.type,
      ).toBe(true)
    const fromTheEnd = waitingFor(['gradient:x'], nodes)
    expect(made.filter((node) => node.inputs.some((name) => fromTheEnd.has(name)))).toHaveLength(2)
  })

  it('leave an unquantised block as it is', () => {
    const block = blockOf('c.')
    expect(freezeBlocks(weights)([block])[0]!.graph).toBe(block.graph)
  })
})

describe('freeze', () => {
  const matrix = (rows: number, columns: number): F32Tensor => normal(random(1), [rows, columns])
  it('takes 0.129 of f32 for a layer in NF4, 0.266 for anything in 8 bits', () => {
    const one = matrix(576, 1536)
    const share = (weight: BaseWeight): number =>
      countWeightBytes([weight]) / countWeightBytes([one])
    expect(share(freeze(one, 'nf4', true))).toBeCloseTo((0.5 + 1 / 64 + 4 / 64 / 256) / 4, 4)
    expect(share(freeze(one, 'nf4', false))).toBeCloseTo((1 + 4 / 64) / 4, 4) // embedding and head
    expect(share(freeze(one, 'int8', true))).toBeCloseTo((1 + 4 / 64) / 4, 4)
  })
  it('leaves vectors, and matrices without whole blocks', () => {
    for (const tensor of [normal(random(1), [64]), matrix(3, 5)])
      expect(freeze(tensor, 'nf4', true)).toBe(tensor)
    expect(isFrozen(freeze(matrix(3, 5), 'int8', true))).toBe(false)
    expect(isFrozen(freeze(matrix(4, 48), 'nf4', true))).toBe(true)
  })
  it('gives values near the old ones back', () => {
    const one = matrix(64, 256)
    for (const [quantization, most] of [
      ['nf4', 0.1],
      ['int8', 0.01],
    ] as const) {
      const back = thaw(freeze(one, quantization, true)).data
      const gap =
        back.reduce((sum, value, i) => sum + (value - one.data[i]!) ** 2, 0) /
        one.data.reduce((sum, value) => sum + value ** 2, 0)
      expect(Math.sqrt(gap)).toBeLessThan(most)
    }
  })
})

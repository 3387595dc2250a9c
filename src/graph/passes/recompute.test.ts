import { describe, expect, it } from 'vitest'
import * as ort from 'onnxruntime-node'
import { random } from '../../base/random.ts'
import type { Tensor } from '../../base/tensor.ts'
import { createOnnxRuntimeBackend } from '../../compute/onnxruntime.ts'
import { GraphBuilder } from '../builder.ts'
import { evaluate } from '../evaluate.ts'
import { toGradientName, withGradients } from './gradient.ts'
import type { Graph } from '../ir.ts'
import type { RecomputeOptions } from './recompute.ts'
import { normal } from '../testing.ts'

const layers = 6

/**
 * A chain of x ← x + (silu(norm(x)·Aᵀ) ⊙ (norm(x)·Aᵀ))·B; the values between layers are the
 * boundaries.
 */
function chain(): { graph: Graph; flows: string[] } {
  const g = new GraphBuilder()
  const flows: string[] = []
  let x = g.input('x', 'f32', ['N', 4])
  for (let layer = 0; layer < layers; layer++) {
    const normed = g.rmsNorm(x, g.weight(`norm${layer}`, [4]), 1e-5)
    const gate = g.matmul(normed, g.weight(`a${layer}`, [8, 4]), { transB: true })
    x = g.add(x, g.matmul(g.multiply(g.silu(gate), gate), g.weight(`b${layer}`, [8, 4])))
    flows.push(x.name)
  }
  g.output('loss', g.reduceSum(g.op('exponential', [g.scale(x, 0.1)]), [0, 1]))
  return { graph: g.build(), flows }
}
const { graph, flows } = chain()
const wanted = graph.inputs.flatMap(({ name }) => (/^[ab]/.test(name) ? [name] : []))
const gradients = (recompute?: RecomputeOptions): Graph =>
  withGradients(graph, { of: ['loss'], withRespectTo: wanted, ...(recompute && { recompute }) })
const numbers = random(3)
const feeds = new Map(
  graph.inputs.map(({ name, shape }) => [
    name,
    normal(
      numbers,
      shape.map((dim) => (dim === 'N' ? 5 : (dim as number))),
      0.4,
    ),
  ]),
)
const bits = (results: ReadonlyMap<string, Tensor>) =>
  Object.fromEntries([...results].map(([name, { data }]) => [name, [...data]]))

/** Values of the way forward that nodes of the way back read. */
function kept(result: Graph): string[] {
  const forward = new Set(graph.nodes.map(({ output }) => output.name))
  const read = result.nodes.flatMap(({ inputs, output }) =>
    forward.has(output.name) ? [] : inputs.map(({ name }) => name),
  )
  return [...new Set(read)].filter((name) => forward.has(name))
}

describe('recompute', () => {
  it('gives the same bits, whatever is computed again', async () => {
    const expected = bits(evaluate(gradients(), feeds))
    const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })
    const onOnnx = async (one: Graph) =>
      bits(await (await backend.compile(one, { lean: true })).run(feeds))
    const plain = await onOnnx(gradients())
    for (const boundaries of [[], flows.slice(2, 3), flows.slice(0, -1)]) {
      expect(bits(evaluate(gradients({ boundaries }), feeds))).toEqual(expected)
      expect(await onOnnx(gradients({ boundaries }))).toEqual(plain)
    }
    expect(Object.keys(plain)).toContain(toGradientName('a0'))
  })
  it('keeps no cheap value whose inputs are kept anyhow', () => {
    const operationOf = new Map(
      graph.nodes.map(({ operation, output }) => [output.name, operation]),
    )
    const operations = (names: readonly string[]) =>
      new Set(names.map((name) => operationOf.get(name)))
    expect(operations(kept(gradients()))).toContain('silu')
    expect(operations(kept(gradients({})))).toEqual(new Set(['matmul', 'add', 'exponential']))
  })
  it('keeps of a segment only what flows into it', () => {
    const first = flows[1]!
    const second = flows[3]!
    const keptNames = kept(gradients({ boundaries: [first, second] }))
    const order = graph.nodes.map(({ output }) => output.name)
    const inSegments = keptNames.filter((name) => order.indexOf(name) <= order.indexOf(second))
    expect(inSegments.sort()).toEqual([first, second].sort())
  })
  it('copies wait for the way back: no node of them can run before the gradient that needs them', () => {
    const { nodes } = gradients({ boundaries: [flows[2]!] })
    const forward = new Set(graph.nodes.map(({ output }) => output.name))
    const late = new Set<string>()
    for (const { output, inputs } of nodes) {
      if (
        !forward.has(output.name) &&
        inputs.some(({ name }) => late.has(name) || name.startsWith('%g'))
      )
        late.add(output.name)
    }
    const copies = nodes.filter(
      ({ output }) => output.name.startsWith('%s') || output.name.startsWith('%r'),
    )
    expect(copies.length).toBeGreaterThan(10)
    for (const { output } of copies) expect(late).toContain(output.name)
  })
})

import { describe, expect, it } from 'vitest'
import { f32 } from '../../base/tensor.ts'
import { GraphBuilder } from '../builder.ts'
import { evaluate } from '../evaluate.ts'
import type { Graph } from '../ir.ts'
import { expandComposites, prune, rewrite } from './rewrite.ts'

/** y = 2·x + c, z = −x */
function example(): Graph {
  const g = new GraphBuilder()
  const x = g.input('x', 'f32', [2])
  g.output('y', g.add(g.scale(x, 2), g.constant(f32([2], [10, 20]))))
  g.output('z', g.scale(x, -1))
  g.input('unused', 'f32', [1])
  return g.build()
}
const values = (graph: Graph, name: string): number[] => [
  ...(evaluate(
    graph,
    new Map([
      ['x', f32([2], [1, 2])],
      ['unused', f32([1])],
    ]),
  ).get(name)!.data as Float32Array),
]

describe('rewrite', () => {
  it('copies a graph whole where nothing is replaced', () => {
    expect(rewrite(example(), '%t', () => undefined)).toEqual(example())
  })
  it('replaces nodes, and shows later ones the replacement', () => {
    const seen: string[] = []
    const doubled = rewrite(example(), '%t', (g, { operation, inputs, attributes }) => {
      seen.push(`${operation}(${inputs.map(({ name }) => name).join()})`)
      return operation === 'scale'
        ? g.scale(inputs[0]!, 2 * (attributes.factor as number))
        : undefined
    })
    expect(values(doubled, 'y')).toEqual([14, 28])
    expect(values(doubled, 'z')).toEqual([-2, -4])
    expect(seen).toContain('add(%t0,%c1)')
  })
  it('lets a replacement be an input passed through', () => {
    const passed = rewrite(example(), '%t', (_, { operation, inputs }) =>
      operation === 'scale' ? inputs[0] : undefined,
    )
    expect(values(passed, 'z')).toEqual([1, 2])
    expect(passed.outputs.get('z')!.name).toBe('x')
  })
  it('adds outputs at the end', () => {
    const more = rewrite(
      example(),
      '%t',
      () => undefined,
      (g, valueOf) => g.output('half', g.scale(valueOf(example().outputs.get('y')!), 0.5)),
    )
    expect(values(more, 'half')).toEqual([6, 12])
  })
  it('gives fresh names, however often a pass with the same prefix runs', () => {
    const pass = (graph: Graph): Graph =>
      rewrite(graph, '%t', (g, { operation, inputs }) =>
        operation === 'scale' ? g.scale(g.scale(inputs[0]!, 3), 1.5) : undefined,
      )
    const names = pass(pass(example())).nodes.map(({ output }) => output.name)
    expect(new Set(names).size).toBe(names.length)
  })
  it('does not change the graph it is given', () => {
    const graph = example()
    const before = structuredClone({ ...graph })
    prune(expandComposites(graph))
    expect({ ...graph }).toEqual(before)
  })
})

describe('prune', () => {
  it('drops nodes, inputs and constants that no output needs', () => {
    const graph = example()
    const pruned = prune({ ...graph, outputs: new Map([['z', graph.outputs.get('z')!]]) })
    expect(pruned.nodes.map(({ operation }) => operation)).toEqual(['scale'])
    expect(pruned.inputs.map(({ name }) => name)).toEqual(['x'])
    expect(pruned.constants.size).toBe(0)
    expect(values(pruned, 'z')).toEqual([-1, -2])
  })
})

describe('the builder', () => {
  it('refuses an input declared twice in two ways, and an output given twice', () => {
    const g = new GraphBuilder()
    const x = g.input('x', 'f32', ['N', 2])
    expect(g.input('x', 'f32', ['N', 2])).toBe(x)
    expect(() => g.input('x', 'f32', ['N', 3])).toThrow(
      'declared as f32 [N, 2] and again as f32 [N, 3]',
    )
    g.output('y', x)
    expect(() => g.output('y', x)).toThrow('"y" is given twice')
  })
})

describe('evaluate', () => {
  it('refuses a missing feed, and named dimensions that contradict each other', () => {
    const g = new GraphBuilder()
    g.output('y', g.add(g.input('a', 'f32', ['N']), g.input('b', 'f32', ['N'])))
    const graph = g.build()
    expect(() => evaluate(graph, new Map([['a', f32([2])]]))).toThrow('"b" was not fed')
    expect(() =>
      evaluate(
        graph,
        new Map([
          ['a', f32([2])],
          ['b', f32([3])],
        ]),
      ),
    ).toThrow('"b": got shape [3], expected [N]')
  })
})

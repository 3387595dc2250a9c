import { describe, expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import { i64, type Tensor } from '../../base/tensor.ts'
import { GraphBuilder } from '../builder.ts'
import { evaluate } from '../evaluate.ts'
import { expectClose, normal } from '../testing.ts'
import { joinRotary } from './join-rotary.ts'
import { toOnnx } from './to-onnx.ts'

/** Queries of two heads, keys of one, values: cut from one product, or with a gap between them. */
function buildTurns(gap: number) {
  const g = new GraphBuilder()
  const whole = g.input('x', 'f32', ['N', 'T', 16 + gap])
  const tables = ['cos', 'sin'].map((name) => g.input(name, 'f32', ['P', 2]))
  const positions = g.input('positions', 'i64', ['N', 'T'])
  const turn = (start: number, end: number, heads: number) =>
    g.op('rotary', [g.slice(whole, 2, start, end), ...tables, positions], { heads })
  g.output('q', turn(0, 8, 2))
  g.output('k', turn(8 + gap, 12 + gap, 1))
  g.output('v', g.slice(whole, 2, 12 + gap, 16 + gap))
  return g.build()
}

const countTurns = (graph: ReturnType<typeof buildTurns>): number =>
  graph.nodes.filter(({ operation }) => operation === 'rotary').length

describe('joinRotary', () => {
  it('turns neighbours together, with the same numbers', () => {
    const graph = buildTurns(0)
    const joined = joinRotary(graph)
    expect([countTurns(graph), countTurns(joined)]).toEqual([2, 1])
    const numbers = random(3)
    const feeds = new Map<string, Tensor>([
      ['x', normal(numbers, [2, 3, 16])],
      ['cos', normal(numbers, [5, 2])],
      ['sin', normal(numbers, [5, 2])],
      ['positions', i64([2, 3], [0, 1, 2, 2, 3, 4])],
    ])
    const expected = evaluate(graph, feeds)
    const got = evaluate(joined, feeds)
    for (const [name, tensor] of expected) expectClose(got.get(name), tensor, 0, name)
  })
  it('does not change rotations that are not adjacent', () => {
    expect(countTurns(joinRotary(buildTurns(4)))).toBe(2)
  })
  it('leaves cuts that one node makes: Split instead of slices', () => {
    const types = toOnnx(joinRotary(buildTurns(0))).nodes.map(({ type }) => type)
    expect(types.filter((type) => type === 'Split')).toHaveLength(2)
    expect(types).not.toContain('Slice')
    const apart = toOnnx(buildTurns(4)).nodes.map(({ type }) => type)
    expect(apart.filter((type) => type === 'Slice')).toHaveLength(3)
  })
})

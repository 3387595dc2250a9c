import { describe, expect, it } from 'vitest'
import { f32 } from '../../base/tensor.ts'
import { GraphBuilder } from '../builder.ts'
import { evaluate } from '../evaluate.ts'
import { bindDims } from './bind-dims.ts'

describe('bindDims', () => {
  it('puts numbers into inputs, into what follows, and into shapes that operations name', () => {
    const g = new GraphBuilder()
    const x = g.input('x', 'f32', ['N', 'T', 6])
    const past = g.input('past', 'f32', ['N', 'C+2*T', 6])
    g.output('y', g.reshape(g.scale(x, 2), ['N', 'T', 2, 3]))
    g.output('past', g.scale(past, 3))
    const bound = bindDims(g.build(), new Map([['T', 1]]))
    expect(bound.inputs.map(({ shape }) => shape)).toEqual([
      ['N', 1, 6],
      ['N', 'C+2', 6],
    ])
    expect(bound.outputs.get('y')!.shape).toEqual(['N', 1, 2, 3])
    expect(bound.outputs.get('past')!.shape).toEqual(['N', 'C+2', 6])
    const tensor = f32(
      [2, 1, 6],
      Float32Array.from({ length: 12 }, (_, i) => i),
    )
    const got = evaluate(
      bindDims(g.build(), new Map([['T', 1]])),
      new Map([
        ['x', tensor],
        ['past', f32([2, 5, 6])],
      ]),
    )
    expect(got.get('y')!.shape).toEqual([2, 1, 2, 3])
  })
})

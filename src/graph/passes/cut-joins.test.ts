import { expect, it } from 'vitest'
import { GraphBuilder } from '../builder.ts'
import { cutJoins } from './cut-joins.ts'

it('takes a part of joined values as it is, and keeps joins that are read otherwise', () => {
  const g = new GraphBuilder()
  const [a, b] = [g.input('a', 'f32', ['T', 2]), g.input('b', 'f32', ['T', 3])]
  const joined = g.concat([g.add(a, a), g.add(b, b)], 1)
  g.output('first', g.slice(joined, 1, 0, 2))
  g.output('second', g.scale(g.slice(joined, 1, 2, 5), 2))
  expect(cutJoins(g.build()).nodes.map(({ operation }) => operation)).toEqual([
    'add',
    'add',
    'scale',
  ])
  g.output('across', g.slice(joined, 1, 1, 3))
  expect(cutJoins(g.build()).nodes.map(({ operation }) => operation)).toEqual([
    'add',
    'add',
    'concat',
    'scale',
    'slice',
  ])
})

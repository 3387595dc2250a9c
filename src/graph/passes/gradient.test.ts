import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { f32, i64, type Tensor } from '../../base/tensor.ts'
import { GraphBuilder } from '../builder.ts'
import { evaluate } from '../evaluate.ts'
import { toGradientName, withGradients } from './gradient.ts'
import type { Graph, Value } from '../ir.ts'
import { doubled, expectClose, normal } from '../testing.ts'

const graphOf = (build: (g: GraphBuilder) => Value): Graph => {
  const g = new GraphBuilder()
  g.output('y', build(g))
  return g.build()
}
const scalar = (value: number): Tensor => f32([], [value])

describe('withGradients', () => {
  it('gives d(x²·w)/dx = 2·x·w, and keeps the outputs', () => {
    const graph = graphOf((g) => {
      const x = g.input('x', 'f32', [])
      const w = g.input('w', 'f32', [])
      return g.multiply(g.multiply(x, x), w)
    })
    const result = evaluate(
      withGradients(graph, { of: ['y'], withRespectTo: ['x', 'w'] }),
      new Map([
        ['x', scalar(3)],
        ['w', scalar(5)],
      ]),
    )
    expect(Object.fromEntries([...result].map(([name, { data }]) => [name, data[0]]))).toEqual({
      y: 45,
      [toGradientName('x')]: 30,
      [toGradientName('w')]: 9,
    })
  })

  it('adds up what arrives over several paths', () => {
    const graph = graphOf((g) => {
      const x = g.input('x', 'f32', [2])
      return g.reduceSum(g.add(g.scale(x, 3), g.multiply(x, x)), [0])
    })
    const result = evaluate(
      withGradients(graph, { of: ['y'], withRespectTo: ['x'] }),
      new Map([['x', f32([2], [1, -2])]]),
    )
    expect([...(result.get(toGradientName('x'))!.data as Float32Array)]).toEqual([5, -1])
  })

  it('lets nothing flow through stopGradient', () => {
    const graph = graphOf((g) => {
      const x = g.input('x', 'f32', [])
      return g.multiply(x, g.op('stopGradient', [x]))
    })
    const result = evaluate(
      withGradients(graph, { of: ['y'], withRespectTo: ['x'] }),
      new Map([['x', scalar(3)]]),
    )
    expect(result.get(toGradientName('x'))!.data[0]).toBe(3)
  })

  it('takes the gradient of outputs that are no scalars as an input, and drops outputs that are not kept', () => {
    const graph = graphOf((g) => g.scale(g.input('x', 'f32', ['N', 2]), 4))
    const gradients = withGradients(graph, { of: ['y'], withRespectTo: ['x'], keep: [] })
    expect([...gradients.outputs.keys()]).toEqual([toGradientName('x')])
    // x itself is not needed for it
    expect(gradients.inputs.map(({ name }) => name)).toEqual([toGradientName('y')])
    const result = evaluate(gradients, new Map([[toGradientName('y'), f32([1, 2], [1, 2])]]))
    expect([...(result.get(toGradientName('x'))!.data as Float32Array)]).toEqual([4, 8])
  })

  it('keeps computing right when it runs over its own result', () => {
    const once = withGradients(
      graphOf((g) => g.op('exponential', [g.input('x', 'f32', [])])),
      { of: ['y'], withRespectTo: ['x'] },
    )
    const twice = withGradients(once, {
      of: [toGradientName('x')],
      withRespectTo: ['x'],
      keep: ['y'],
    })
    const names = twice.nodes.map(({ output }) => output.name)
    expect(new Set(names).size).toBe(names.length)
    const result = evaluate(twice, new Map([['x', scalar(0.5)]]))
    expect(result.get(toGradientName('x'))!.data[0]).toBeCloseTo(Math.exp(0.5), 6)
  })

  it('matches finite differences through a whole block: norm, attention, feed-forward, loss', () => {
    const g = new GraphBuilder()
    const x = g.input('x', 'f32', ['N', 'T', 6])
    const normed = g.rmsNorm(x, g.weight('n', [6]), 1e-5, 1)
    const [q, k, v] = ['q', 'k', 'v'].map((name) =>
      g.linear(normed, g.weight(name, [name === 'q' ? 8 : 4, 6]), name),
    ) as [Value, Value, Value]
    const form = { heads: 4, kvHeads: 2, headWidth: 2, scale: 0.7, softcap: 3 }
    const mixed = g.op('attention', [q, k, v, g.input('mask', 'f32', ['N', 1, 'T', 'T'])], form)
    const y = g.add(x, g.linear(g.silu(mixed), g.weight('o', [6, 8]), 'o'))
    const logits = g.linear(
      g.op('gatherRows', [y, g.input('rows', 'i64', ['M'])]),
      g.weight('head', [5, 6]),
      'head',
    )
    g.output(
      'loss',
      g.reduceSum(g.op('crossEntropy', [logits, g.input('labels', 'i64', ['M'])]), [0]),
    )
    const graph = g.build()

    const numbers = random(3)
    const shapes = {
      x: [2, 3, 6],
      n: [6],
      q: [8, 6],
      k: [4, 6],
      v: [4, 6],
      o: [6, 8],
      head: [5, 6],
    }
    const feeds = new Map<string, Tensor>(
      Object.entries(shapes).map(([name, shape]) => [name, doubled(normal(numbers, shape, 0.5))]),
    )
    feeds.set('mask', doubled(f32([2, 1, 3, 3])))
    feeds.set('rows', i64([3], [1, 5, 5])).set('labels', i64([3], [0, 4, 2]))
    const lossAt = (name: string, at: number, shift: number): number => {
      const tensor = feeds.get(name)!
      const data = Float64Array.from(tensor.data as Float64Array)
      data[at]! += shift
      return evaluate(graph, new Map([...feeds, [name, { ...tensor, data }]])).get('loss')!
        .data[0] as number
    }
    const gradients = evaluate(
      withGradients(graph, { of: ['loss'], withRespectTo: Object.keys(shapes) }),
      feeds,
    )
    for (const name of Object.keys(shapes)) {
      const slopes = Float64Array.from(
        feeds.get(name)!.data as Float64Array,
        (_, at) => (lossAt(name, at, 1e-5) - lossAt(name, at, -1e-5)) / 2e-5,
      )
      expectClose(
        gradients.get(toGradientName(name)),
        { dtype: 'f64', shape: feeds.get(name)!.shape, data: slopes },
        1e-7,
        name,
      )
    }
  })

  it('refuses an unknown output, an input that nothing depends on, and an operation without a gradient', () => {
    const graph = graphOf((g) =>
      g.op('rmsNormalize', [g.scale(g.input('x', 'f32', [2]), 2)], { epsilon: 1e-5, offset: 0 }),
    )
    expect(() => withGradients(graph, { of: ['z'], withRespectTo: ['x'] })).toThrow(OptionError)
    expect(() => withGradients(graph, { of: ['y'], withRespectTo: ['w'] })).toThrow(
      'depends on input "w"',
    )
    expect(() => withGradients(graph, { of: ['y'], withRespectTo: ['x'] })).toThrow(
      '"rmsNormalize" has no gradient',
    )
  })
})

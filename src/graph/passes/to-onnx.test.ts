import * as ort from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { f32, i64, type Tensor } from '../../base/tensor.ts'
import { createOnnxRuntimeBackend } from '../../compute/onnxruntime.ts'
import { GraphBuilder } from '../builder.ts'
import { encodeOnnx } from '../../formats/onnx.ts'
import { evaluate } from '../evaluate.ts'
import type { Graph } from '../ir.ts'
import { expectClose } from '../testing.ts'
import { toOutputName, toOnnx } from './to-onnx.ts'

const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })

async function expectSame(
  graph: Graph,
  feeds: ReadonlyMap<string, Tensor>,
  initializers?: ReadonlyMap<string, Tensor>,
): Promise<void> {
  const program = await backend.compile(graph, initializers ? { initializers } : {})
  const got = await program.run(feeds)
  await program.dispose()
  const expected = evaluate(graph, new Map([...feeds, ...(initializers ?? [])]))
  expect([...got.keys()]).toEqual([...expected.keys()])
  for (const [name, tensor] of expected) expectClose(got.get(name), tensor, 1e-6, name)
}

describe('toOnnx', () => {
  const x = f32([2, 2], [1, 2, 3, 4])

  it('gives out one value under two names, and an input passed through', async () => {
    const g = new GraphBuilder()
    const input = g.input('x', 'f32', ['N', 2])
    const y = g.scale(input, 3)
    g.output('y', y)
    g.output('again', y)
    g.output('same', input)
    await expectSame(g.build(), new Map([['x', x]]))
  })

  it('makes initializers part of the model: they are no longer fed', async () => {
    const g = new GraphBuilder()
    g.output('y', g.linear(g.input('x', 'f32', ['N', 2]), g.weight('w', [3, 2]), 'm'))
    const weights = new Map([['w', f32([3, 2], [1, 0, 0, 1, 1, 1])]])
    const model = toOnnx(g.build(), weights)
    expect(model.inputs.map(({ name }) => name)).toEqual(['x'])
    expect(model.initializers.has('w')).toBe(true)
    await expectSame(g.build(), new Map([['x', x]]), weights)
  })

  it('is written with and without the shapes of inputs and outputs', async () => {
    const g = new GraphBuilder()
    g.output('y', g.scale(g.input('x', 'f32', ['Nrows', 2]), 3))
    const model = toOnnx(g.build())
    const read = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
    expect(read(encodeOnnx(model))).toContain('Nrows')
    expect(read(encodeOnnx({ ...model, isShapeless: true }))).not.toContain('Nrows')
    const program = await backend.compile(g.build(), { lean: true })
    for (const rows of [1, 3]) {
      const { data } = (await program.run(new Map([['x', f32([rows, 2])]]))).get('y')!
      expect(data).toHaveLength(2 * rows)
    }
    await program.dispose()
  })

  it('ignores initializers that the graph does not read', () => {
    const g = new GraphBuilder()
    g.output('y', g.input('x', 'f32', [1]))
    expect([...toOnnx(g.build(), new Map([['w', x]])).initializers.keys()]).toEqual([])
  })

  it('writes constants, scalars and graphs without nodes', async () => {
    const g = new GraphBuilder()
    g.output('y', g.multiply(g.input('x', 'f32', ['N', 2]), g.constant(f32([], [0.5]))))
    await expectSame(g.build(), new Map([['x', x]]))
    const bare = new GraphBuilder()
    bare.output('x', bare.input('x', 'f32', ['N', 2]))
    await expectSame(bare.build(), new Map([['x', x]]))
  })

  it('keeps apart factors that print alike, and takes ones as small and large as f32 has', async () => {
    const g = new GraphBuilder()
    const input = g.input('x', 'f32', ['N', 2])
    ;[0.1, 0.1000001, 1e-30, 1e30, -0.1].forEach((factor, i) =>
      g.output(`y${i}`, g.scale(input, factor)),
    )
    await expectSame(g.build(), new Map([['x', x]]))
  })

  it('runs on rows of none at all', async () => {
    const g = new GraphBuilder()
    const rows = g.op('gatherRows', [
      g.input('x', 'f32', ['N', 'T', 2]),
      g.input('rows', 'i64', ['M']),
    ])
    g.output('y', g.linear(rows, g.weight('w', [3, 2]), 'm'))
    const feeds = new Map<string, Tensor>([
      ['x', f32([1, 2, 2], [1, 2, 3, 4])],
      ['rows', i64([0], [])],
      ['w', f32([3, 2])],
    ])
    await expectSame(g.build(), feeds)
  })

  it('names outputs apart from values', () => {
    const g = new GraphBuilder()
    g.output('x', g.scale(g.input('x', 'f32', [1]), 2))
    expect(toOnnx(g.build()).outputs.map(({ name }) => name)).toEqual([toOutputName('x')])
  })

  it('reports which input was not fed, and which type cannot be', async () => {
    const g = new GraphBuilder()
    g.output('y', g.scale(g.input('x', 'f32', [1]), 2))
    const program = await backend.compile(g.build())
    await expect(program.run(new Map())).rejects.toThrow('"x" was not fed')
    await expect(
      program.run(new Map([['x', { dtype: 'f64', shape: [1], data: new Float64Array(1) }]])),
    ).rejects.toThrow('type f64')
    await program.dispose()
  })
  it('writes nodes that no other reads last, the first of them at the very end', () => {
    const g = new GraphBuilder()
    const input = g.input('x', 'f32', ['N'])
    g.output('first', g.op('tanh', [input]))
    const inner = g.silu(input)
    g.output('second', g.op('sigmoid', [inner]))
    expect(toOnnx(g.build()).nodes.map(({ type }) => type)).toEqual([
      'QuickGelu',
      'Sigmoid',
      'Tanh',
    ])
  })
})

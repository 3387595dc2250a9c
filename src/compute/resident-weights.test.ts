import { describe, expect, it } from 'vitest'
import { f32, type FileTensor, type Tensor } from '../base/tensor.ts'
import { GraphBuilder } from '../graph/builder.ts'
import type { Backend, GroupMember } from './backend.ts'
import { referenceBackend } from './reference.ts'
import { withResidentWeights } from './resident-weights.ts'

/** y = x·Wᵀ. */
function buildProduct() {
  const g = new GraphBuilder()
  g.output(
    'y',
    g.op('linear', [g.input('x', 'f32', ['M', 2]), g.weight('w', [1, 2])], { module: 'm' }),
  )
  return g.build()
}

const packedProductBytes = 4 * 32

/** y = x·Wᵀ over one row in 4 bits. */
function buildPackedProduct(): GroupMember {
  const g = new GraphBuilder()
  const x = g.input('x', 'f32', ['M', 32])
  const parts = [
    g.input('w.codes', 'u8', [1, 1, 16], 'weight'),
    g.input('w.scales', 'f32', [1], 'weight'),
  ]
  const form = { bits: 4, block: 32, inFeatures: 32, outFeatures: 1, accuracy: 4, module: 'm' }
  g.output('y', g.op('quantizedLinear', [x, ...parts], form))
  const codes: Tensor = { dtype: 'u8', shape: [1, 1, 16], data: new Uint8Array(16).fill(0x99) }
  return {
    graph: g.build(),
    initializers: new Map([
      ['w.codes', codes],
      ['w.scales', f32([1], [2])],
    ]),
  }
}

/** The reference, and what it was told: initializers of each compilation, programs thrown away. */
function createRecorder() {
  const compiled: string[][] = []
  let disposed = 0
  const backend: Backend = {
    name: 'recorder',
    async compile(graph, options) {
      compiled.push([...(options?.initializers?.keys() ?? [])])
      const program = await referenceBackend.compile(graph, options)
      return { run: (feeds) => program.run(feeds), dispose: async () => void disposed++ }
    },
  }
  return { backend, compiled, disposedCount: () => disposed }
}

const feed = (w: Tensor, value = 1): Map<string, Tensor> =>
  new Map([
    ['x', f32([1, 2], Float32Array.of(value, 10))],
    ['w', w],
  ])
const weight = (...values: number[]) => f32([1, 2], Float32Array.from(values))
const resultOf = async (run: Promise<Map<string, Tensor>>) => Number((await run).get('y')!.data[0])

describe('withResidentWeights', () => {
  it('compiles once, with the weights of the first run', async () => {
    const { backend, compiled, disposedCount } = createRecorder()
    const program = await withResidentWeights(backend).compile(buildProduct())
    const w = weight(1, 2)
    expect(await resultOf(program.run(feed(w)))).toBe(21)
    expect(await resultOf(program.run(feed(w, 3)))).toBe(23)
    // the same values in another wrapper are the same weight
    expect(await resultOf(program.run(feed({ ...w }, 4)))).toBe(24)
    expect(compiled).toEqual([['w']])
    await program.dispose()
    expect(disposedCount()).toBe(1)
  })
  it('feeds a weight that changes, from then on', async () => {
    const { backend, compiled, disposedCount } = createRecorder()
    const program = await withResidentWeights(backend).compile(buildProduct())
    for (const i of [1, 2, 3]) expect(await resultOf(program.run(feed(weight(i, 0))))).toBe(i)
    expect(compiled).toEqual([['w'], []])
    await program.dispose()
    expect(disposedCount()).toBe(2)
  })
  it('keeps no more than the budget, which a disposed program gives back', async () => {
    const { backend, compiled } = createRecorder()
    const resident = withResidentWeights(backend, 12)
    const first = await resident.compile(buildProduct())
    const second = await resident.compile(buildProduct())
    await first.run(feed(weight(1, 2)))
    await second.run(feed(weight(1, 2)))
    await first.dispose()
    await (await resident.compile(buildProduct())).run(feed(weight(1, 2)))
    expect(compiled).toEqual([['w'], [], ['w']])
  })
  it('feeds every weight of lean programs', async () => {
    const { backend, compiled } = createRecorder()
    const program = await withResidentWeights(backend).compile(buildProduct(), { lean: true })
    expect(await resultOf(program.run(feed(weight(1, 2))))).toBe(21)
    expect(compiled).toEqual([[]])
  })
  it('unpacks a weight once for all programs of a group, and gives its bytes back with the last', async () => {
    const { backend } = createRecorder()
    const joined: ReadonlyMap<string, Tensor | FileTensor>[] = []
    const openGroup = () => ({
      add: (members: readonly GroupMember[]) => {
        joined.push(...members.map(({ initializers }) => initializers))
        return Promise.all(
          members.map(({ graph, initializers }) => backend.compile(graph, { initializers })),
        )
      },
    })
    const resident = withResidentWeights({ ...backend, openGroup }, packedProductBytes)
    expect(resident.sharesMemory).toBe(true)
    const group = resident.openGroup!()
    const programs = await group.add([buildPackedProduct(), buildPackedProduct()])
    const [later] = await group.add([buildPackedProduct()])
    const names = joined.map((initializers) => [...initializers.keys()])
    expect(names).toEqual([['w.codes.f32'], ['w.codes.f32'], ['w.codes.f32']])
    expect(new Set(joined.map((initializers) => initializers.get('w.codes.f32'))).size).toBe(1)
    const x = f32(
      [1, 32],
      Float32Array.from({ length: 32 }, (_, i) => i),
    )
    for (const program of [...programs, later!]) {
      // codes 9, less 8, times the scale 2: all weights are 2
      expect(await resultOf(program.run(new Map([['x', x]])))).toBe(2 * 496)
    }
    // no room for another group before the last program is gone
    expect((await resident.openGroup!().add([buildPackedProduct()])).length).toBe(1)
    expect([...joined.at(-1)!.keys()]).toEqual(['w.codes', 'w.scales'])
    for (const program of [...programs, later!]) await program.dispose()
    await resident.openGroup!().add([buildPackedProduct()])
    expect([...joined.at(-1)!.keys()]).toEqual(['w.codes.f32'])
  })
  it('reports which input was not fed', async () => {
    const { backend } = createRecorder()
    const program = await withResidentWeights(backend).compile(buildProduct())
    await expect(program.run(new Map())).rejects.toThrow(/x|w/)
  })
})

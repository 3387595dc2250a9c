import { describe, expect, it } from 'vitest'
import { NotFoundError, OptionError } from '../base/errors.ts'
import { f32, type Tensor } from '../base/tensor.ts'
import { GraphBuilder } from '../graph/builder.ts'
import { createNodeBackend, type NodeBackendOptions } from './backend.ts'

const failWith = (message: string) => () => Promise.reject(new Error(message))
const missing = failWith("Cannot find package 'onnxruntime-node' imported from /x/backend.js")

/** A backend and the lines that were said; `native` loads onnxruntime-node. */
async function create(
  GRAFT_BACKEND: string | undefined,
  native: NodeBackendOptions['load'] = missing,
  web: NodeBackendOptions['load'] = () => import('onnxruntime-web'),
) {
  const lines: string[] = []
  const backend = await createNodeBackend({
    threads: 1,
    environment: { GRAFT_BACKEND },
    load: (name) => (name === 'onnxruntime-node' ? native : web)(name),
    warn: (line) => lines.push(line),
  })
  return { backend, lines }
}
const loadNative = () => import('onnxruntime-node')
const native = 'onnxruntime-node'
const wasm = 'onnxruntime-web (WebAssembly)'

describe('createNodeBackend', () => {
  it('uses onnxruntime-node if it is installed, without a note', async () => {
    const { backend, lines } = await create(undefined, loadNative)
    expect([backend.name, lines]).toEqual([native, []])
  })
  it('takes WebAssembly where it is not, and reports it in one line', async () => {
    const { backend, lines } = await create(undefined)
    expect(backend.name).toBe(wasm)
    expect(lines).toHaveLength(1)
    expect(lines[0]).not.toContain('\n')
    expect(lines[0]).toMatch(
      /^graft: onnxruntime-node is not installed;.*npm install --ignore-scripts/,
    )
  })
  it('reports why a library that exists cannot be loaded', async () => {
    const { lines } = await create(undefined, failWith('libonnxruntime.so.1: cannot open\nstack'))
    expect(lines[0]).toMatch(/^graft: onnxruntime-node cannot be loaded \(libonnx[^\n]*open\);/)
  })
  it('is chosen by GRAFT_BACKEND, without a word', async () => {
    const chosen = await create('wasm', loadNative)
    expect([chosen.backend.name, chosen.lines]).toEqual([wasm, []])
    expect((await create('native', loadNative)).backend.name).toBe(native)
  })
  it('refuses another name, and a backend that is asked for and missing', async () => {
    await expect(create('wsam')).rejects.toThrow(OptionError)
    await expect(create('wsam')).rejects.toThrow(
      'GRAFT_BACKEND: got "wsam", expected "native", "wasm". Did you mean "wasm"?',
    )
    await expect(create('native')).rejects.toThrow(NotFoundError)
    await expect(create('native')).rejects.toThrow(/onnxruntime-node is not installed/)
    await expect(create(undefined, missing, failWith('no WebAssembly'))).rejects.toThrow(
      /onnxruntime-node is not installed, onnxruntime-web cannot be loaded \(no WebAssembly\)/,
    )
  })
  it.each(['native', 'wasm'])('is fed 16-bit floats as they are: %s', async (choice) => {
    const { backend } = await create(choice, loadNative)
    const g = new GraphBuilder()
    const wide = g.op('widenHalf', [g.input('x', 'f16', ['M'])])
    g.output('y', g.op('roundToHalf', [wide]))
    const program = await backend.compile(g.build())
    const memory = Uint16Array.of(0, 0x3c00, 0xc000, 0x3555, 1, 0x7bff)
    for (const from of [1, 2]) {
      const data = memory.subarray(from)
      const {
        dtype,
        shape,
        data: got,
      } = (await program.run(new Map([['x', { dtype: 'f16', shape: [data.length], data }]]))).get(
        'y',
      )!
      expect([dtype, shape]).toEqual(['f32', [data.length]])
      expect([...got]).toEqual([1, -2, 0.333251953125, 2 ** -24, 65_504].slice(from - 1))
    }
    await program.dispose()
  })
  it('computes on WebAssembly, also when runs overlap', async () => {
    const { backend } = await create('wasm')
    const g = new GraphBuilder()
    const x = g.input('x', 'f32', ['M', 2])
    g.output('y', g.op('linear', [x, g.weight('w', [1, 2])], { module: 'm' }))
    const program = await backend.compile(g.build())
    const w = f32([1, 2], Float32Array.of(1, 2))
    const runs = Array.from({ length: 8 }, async (_, i) => {
      const feeds = new Map<string, Tensor>([
        ['x', f32([1, 2], Float32Array.of(i, 1))],
        ['w', w],
      ])
      return (await program.run(feeds)).get('y')!.data[0]
    })
    expect(await Promise.all(runs)).toEqual([2, 3, 4, 5, 6, 7, 8, 9])
    await program.dispose()
  })
})

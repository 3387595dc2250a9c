import { afterEach, describe, expect, it, vi } from 'vitest'
import { relaxedSimdModule, simdModule } from '../micro/kernels/compiled.ts'
import { createFloatView, createPlainMemory, type GrowingMemory, instantiate } from './wasm.ts'

interface Squares {
  squares(at: number, n: number): number
}
const modules = { 'relaxed-simd': relaxedSimdModule, simd: simdModule }
const createPlain = (memory: GrowingMemory): Squares => ({
  squares: (at, n) => new Float32Array(memory.buffer, 4 * at, n).reduce((sum, x) => sum + x * x, 0),
})

afterEach(() => vi.unstubAllGlobals())

describe.each(['relaxed-simd', 'simd', 'plain'] as const)('%s kernels', (name) => {
  const { kernels, memory, ...host } = instantiate(modules, createPlain, [name])!
  it('read the memory of their host', () => {
    expect(host.name).toBe(name)
    new Float32Array(memory.buffer).fill(2, 16, 32)
    expect(kernels.squares(16, 16)).toBe(64)
  })
  it('find the same values after the memory has grown', () => {
    const floats = createFloatView(memory)
    floats()[40_000 / 4] = 3
    const before = floats()
    memory.reserve(1)
    expect(floats()).toBe(before)
    memory.reserve(1_000_000)
    expect(memory.buffer.byteLength).toBe(16 * 65_536)
    expect(floats().length).toBe(4 * 65_536)
    expect(kernels.squares(9_984, 32)).toBe(9)
  })
})

describe('what is instantiated', () => {
  it('is the fastest kind there is a module for, each time with its own memory', () => {
    expect(instantiate(modules, createPlain)!.name).toBe('relaxed-simd')
    expect(instantiate({ simd: simdModule }, createPlain)!.name).toBe('simd')
    const [one, two] = [instantiate(modules), instantiate(modules)]
    expect(one!.memory.buffer).not.toBe(two!.memory.buffer)
  })
  it('is the plain twin without WebAssembly or where a page forbids it, and nothing without a twin', () => {
    const { WebAssembly: platform } = globalThis as unknown as { WebAssembly: object }
    for (const forbidden of [
      undefined,
      { validate: () => false },
      Object.assign(Object.create(platform), {
        Module: () => {
          throw new EvalError('forbidden by the content security policy')
        },
      }),
    ]) {
      vi.stubGlobal('WebAssembly', forbidden)
      expect(instantiate(modules, createPlain)!.name).toBe('plain')
      expect(instantiate(modules)).toBeUndefined()
    }
  })
})

it('a plain memory refuses what no buffer can hold, and keeps what it has', () => {
  const memory = createPlainMemory()
  new Uint8Array(memory.buffer)[5] = 7
  expect(() => memory.reserve(2 ** 53)).toThrow(RangeError)
  expect(new Uint8Array(memory.buffer)[5]).toBe(7)
})

import { describe, expect, it } from 'vitest'
import { createPlainMemory } from '../../base/wasm.ts'
import { measureRelativeError, randomVector } from '../testing.ts'
import { createContext, type KernelContext, getKernelContext, kernelNames } from './context.ts'
import { Heap } from './heap.ts'
import type { Kernels } from './kernel.ts'

const nIn = 48
const nOut = 32

const sizes = (rank: number) => {
  const a = rank * nIn
  const b = rank * nOut
  return {
    a,
    b,
    ga: a,
    gb: b,
    gBias: nOut,
    x: nIn,
    y: nOut,
    t: nOut,
    u: 32,
    p: rank,
    m: a,
    v: a,
    f: a,
    w: a,
  }
}
type Places = Record<keyof ReturnType<typeof sizes>, number>

/** Each kernel as a call on the places of a small adapter. */
const calls: Record<string, (kernels: Kernels, at: Places, rank: number) => number | void> = {
  forward: (k, at, rank) => k.forward(rank, at.a, at.b, at.x, at.u, at.y, nIn, nOut, 1.5),
  subtract: (k, at) => k.subtract(at.y, at.t, nOut),
  backward: (k, at, rank) =>
    k.backward(rank, at.a, at.b, at.ga, at.gb, at.gBias, at.x, at.u, at.y, nIn, nOut, 1.5),
  gather: (k, at, rank) => k.gather(at.a, at.p, at.u, rank, at.x, nIn),
  squares: (k, at, rank) => k.squares(at.gb, rank * nOut),
  watch: (k, at, rank) => k.watch(at.f, at.ga, rank * nIn, 0.9, 0.1),
  adam: (k, at, rank) => k.adam(at.ga, at.m, at.v, rank * nIn, 0.5, 0.9, 0.99, 10, 100, 1e-8),
  move: (k, at, rank) => k.move(at.w, at.ga, rank * nIn, 0.99, 0.1),
  pull: (k, at, rank) => k.pull(at.w, at.a, at.f, rank * nIn, 0.3),
  average: (k, at, rank) => k.average(at.m, at.ga, rank * nIn, 0.8, 0.2),
  copy: (k, at, rank) => k.copy(at.gb, at.b, rank * nOut),
  clear: (k, at) => k.clear(at.t, nOut),
}

/** What each kernel gives and leaves in the heap, each from the same random numbers. */
function ran({ kernels, heap }: KernelContext, rank: number): Map<string, number[]> {
  const lengths = Object.entries(sizes(rank))
  const at = Object.fromEntries(
    lengths.map(([name, size]) => [name, heap.allocate(size)]),
  ) as Places
  const end = Math.max(...Object.values(at)) + 256
  return new Map(
    Object.entries(calls).map(([kernel, call]) => {
      for (const [i, [name, size]] of lengths.entries()) {
        const values = randomVector(size, 20 * rank + i)
        const shaped =
          name === 'v' || name === 'f'
            ? values.map(Math.abs)
            : name === 'p'
              ? values.map((_, k) => (5 * k) % rank)
              : values
        heap.array().set(shaped, at[name as keyof Places])
      }
      const given = call(kernels, at, rank) ?? 0
      return [kernel, [given, ...heap.array().subarray(0, end)]]
    }),
  )
}

describe.each(kernelNames.filter((name) => name !== 'plain'))('kernels %s', (name) => {
  it.each(Array.from({ length: 16 }, (_, i) => i + 1))(
    'give what the plain ones give at rank %i',
    (rank) => {
      const own = ran(createContext(name)!, rank)
      const plain = ran(createContext('plain')!, rank)
      for (const [kernel, values] of plain) {
        expect([kernel, measureRelativeError(own.get(kernel)!, values) < 1e-5]).toEqual([
          kernel,
          true,
        ])
        expect([
          kernel,
          measureRelativeError(own.get(kernel)!.slice(0, 1), values.slice(0, 1)) < 1e-5,
        ]).toEqual([kernel, true])
      }
    },
  )
  it('refuse without changing a gradient where a value is not finite or sums overflow', () => {
    for (const bad of [NaN, Infinity, 1e30]) {
      for (const context of [createContext(name)!, createContext('plain')!]) {
        const { kernels, heap } = context
        const [a, b, g, x, e, u] = [16, 16, 64, 16, 16, 32].map((size) => heap.allocate(size)) as [
          number,
          number,
          number,
          number,
          number,
          number,
        ]
        heap
          .array()
          .fill(1, a, a + 16)
          .fill(1, b, b + 16)
          .fill(1, x, x + 16)
        heap.array()[e + 3] = bad
        expect(kernels.backward(1, a, b, g, g + 16, g + 32, x, u, e, 16, 16, 1)).toBeNaN()
        expect(
          heap
            .array()
            .subarray(g, g + 64)
            .every((value) => value === 0),
        ).toBe(true)
      }
    }
  })
})

describe('a context', () => {
  it('is the best that runs here, and the same at every call', () => {
    expect(getKernelContext().name).toBe('relaxed-simd') // Node 24 has it
    expect(getKernelContext()).toBe(getKernelContext('relaxed-simd'))
    expect(getKernelContext('plain').name).toBe('plain')
    expect(() => getKernelContext('fast' as 'plain')).toThrow(
      /kernels: got "fast", expected one of relaxed-simd, simd, plain/,
    )
  })
  it('falls back where the platform refuses relaxed vectors, vectors, or WebAssembly as such', async () => {
    const platform = (globalThis as { WebAssembly?: { validate: (bytes: Uint8Array) => boolean } })
      .WebAssembly!
    const { validate } = platform
    const { relaxedSimdModule } = await import('./compiled.ts')
    const relaxedBytes = atob(relaxedSimdModule).length
    try {
      platform.validate = (bytes) => bytes.length !== relaxedBytes && validate.call(platform, bytes)
      expect([createContext('relaxed-simd'), createContext('simd')?.name]).toEqual([
        undefined,
        'simd',
      ])
      platform.validate = () => false
      expect([
        createContext('relaxed-simd'),
        createContext('simd'),
        createContext('plain')?.name,
      ]).toEqual([undefined, undefined, 'plain'])
      platform.validate = () => {
        throw new EvalError('forbidden by the content security policy')
      }
      expect(createContext('simd')).toBeUndefined()
    } finally {
      platform.validate = validate
    }
  })
})

describe.each(kernelNames)('the heap of %s', (name) => {
  it('keeps its numbers when it grows', () => {
    const { heap } = createContext(name)!
    const first = heap.allocate(100)
    heap.array()[first] = 42
    const old = heap.array()
    const large = heap.allocate(200_000)
    expect(heap.array() === old).toBe(false) // a matcher would print the dead array
    expect(heap.array()[first]).toBe(42)
    heap.array()[large + 199_999] = 1
    expect(heap.array()[large + 199_999]).toBe(1)
  })
})

describe('places', () => {
  it('are zero, apart from each other, and used again', () => {
    const heap = new Heap(createPlainMemory())
    const lengths = [100, 33, 16, 500, 1]
    const places = lengths.map((size) => heap.allocate(size))
    for (const [i, place] of places.entries()) heap.array().fill(i + 1, place, place + lengths[i]!)
    for (const [i, place] of places.entries())
      expect(
        heap
          .array()
          .subarray(place, place + lengths[i]!)
          .every((value) => value === i + 1),
      ).toBe(true)
    const used = heap.usedBytes
    for (const i of [1, 3, 0, 4, 2]) heap.release(places[i]!, lengths[i]!)
    expect(heap.usedBytes).toBe(0)
    const whole = heap.allocate(650) // fits only if all gaps were joined
    expect(whole).toBe(places[0])
    expect(
      heap
        .array()
        .subarray(whole, whole + 650)
        .every((value) => value === 0),
    ).toBe(true)
    expect(used).toBeGreaterThan(0)
    expect(heap.sizeBytes).toBe(65536)
  })
  it('given back twice are our own bug', () => {
    const heap = new Heap(createPlainMemory())
    const place = heap.allocate(16)
    heap.release(place, 16)
    expect(() => heap.release(place, 16)).toThrow('internal')
  })
})

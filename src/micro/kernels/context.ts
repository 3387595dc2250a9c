// The best kernels that the platform has, over one heap that all adapters share. Chosen by asking
// the engine whether it takes the module.

import { OptionError } from '../../base/errors.ts'
import { relaxedSimdModule, simdModule } from './compiled.ts'
import { type GrowingBlock, Heap, createPlainBlock } from './heap.ts'
import type { Kernels } from './kernel.ts'
import { createPlainMicroKernels } from './plain.ts'

export type KernelName = 'relaxed-simd' | 'simd' | 'plain'

/** From the fastest on. */
export const kernelNames: readonly KernelName[] = ['relaxed-simd', 'simd', 'plain']

export interface KernelContext {
  readonly name: KernelName
  readonly kernels: Kernels
  readonly heap: Heap
  /**
   * Where a call's input, output, second vector and low-rank values lie; shared, because one call
   * ends before the next begins.
   */
  readonly scratch: Scratch
}

/**
 * The part of the platform's WebAssembly that is used; read from globalThis because a platform may
 * lack or forbid it.
 */
interface Platform {
  validate(bytes: Uint8Array): boolean
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown }
  readonly Memory: new (descriptor: { initial: number }) => {
    readonly buffer: ArrayBuffer
    grow(pages: number): number
  }
}

/** Places that every call may use, as wide as the widest module so far. */
export class Scratch {
  readonly #heap: Heap
  /** Low-rank values: R of the forward pass, 16 later R of the backward pass. */
  readonly u: number
  #width = 0
  #x = 0

  constructor(heap: Heap) {
    this.#heap = heap
    this.u = heap.allocate(32)
  }

  get x(): number {
    return this.#x
  }
  get y(): number {
    return this.#x + this.#width
  }
  get t(): number {
    return this.#x + 2 * this.#width
  }
  get sizeBytes(): number {
    return 4 * (32 + 3 * this.#width)
  }

  /** Makes room for vectors of so many values. */
  widen(width: number): void {
    if (width <= this.#width) return
    const place = this.#heap.allocate(3 * width)
    if (this.#width > 0) this.#heap.release(this.#x, 3 * this.#width)
    this.#x = place
    this.#width = width
  }
}

const pageFloats = 16384

const decodeBase64 = (base64: string): Uint8Array =>
  Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))

function createCompiledContext(name: KernelName, base64: string): KernelContext | undefined {
  const platform = (globalThis as { WebAssembly?: Platform }).WebAssembly
  const bytes = decodeBase64(base64)
  if (!platform?.validate(bytes)) return undefined
  const memory = new platform.Memory({ initial: 1 })
  let values = new Float32Array(memory.buffer)
  const block: GrowingBlock = {
    // growing detaches the old array, whose length is then 0
    array: () => (values.length > 0 ? values : (values = new Float32Array(memory.buffer))),
    grow: (floats) =>
      void memory.grow(
        Math.ceil(floats / pageFloats) - memory.buffer.byteLength / (4 * pageFloats),
      ),
  }
  const kernels = new platform.Instance(new platform.Module(bytes), { env: { memory } })
    .exports as Kernels
  return assembleContext(name, kernels, new Heap(block))
}

function createPlainContext(): KernelContext {
  const block = createPlainBlock()
  return assembleContext(
    'plain',
    createPlainMicroKernels(() => block.array()),
    new Heap(block),
  )
}

const assembleContext = (name: KernelName, kernels: Kernels, heap: Heap): KernelContext => ({
  name,
  kernels,
  heap,
  scratch: new Scratch(heap),
})

const contextFactories: Record<KernelName, () => KernelContext | undefined> = {
  'relaxed-simd': () => createCompiledContext('relaxed-simd', relaxedSimdModule),
  simd: () => createCompiledContext('simd', simdModule),
  plain: createPlainContext,
}

/**
 * A context of one's own, with its own memory; undefined where the platform cannot run these
 * kernels.
 */
export function createContext(name: KernelName): KernelContext | undefined {
  try {
    return contextFactories[name]()
  } catch {
    return undefined // a page's content security policy may forbid WebAssembly
  }
}

const shared = new Map<KernelName, KernelContext | undefined>()

function findSharedContext(name: KernelName): KernelContext | undefined {
  if (!shared.has(name)) shared.set(name, createContext(name))
  return shared.get(name)
}

/**
 * The kernels by name, or the fastest that run here; the same context at every call. Throws
 * OptionError where the named ones do not run here.
 */
export function getKernelContext(name?: KernelName): KernelContext {
  if (name !== undefined && !kernelNames.includes(name))
    throw new OptionError(
      `kernels: got ${JSON.stringify(name)}, expected one of ${kernelNames.join(', ')}.`,
    )
  for (const wanted of name === undefined ? kernelNames : [name]) {
    const context = findSharedContext(wanted)
    if (context) return context
  }
  throw new OptionError(
    `kernels: ${name} do not run on this platform; leave the option out to take the best that do.`,
  )
}

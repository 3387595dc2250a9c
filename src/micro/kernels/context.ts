// The fastest kernels that run on the platform, over one heap that all adapters share.

import { OptionError } from '../../base/errors.ts'
import { createFloatView, instantiate, type KernelName, kernelNames } from '../../base/wasm.ts'
import { relaxedSimdModule, simdModule } from './compiled.ts'
import { Heap } from './heap.ts'
import type { Kernels } from './kernel.ts'
import { createPlainMicroKernels } from './plain.ts'

export { type KernelName, kernelNames } from '../../base/wasm.ts'

export interface KernelContext {
  readonly name: KernelName
  readonly kernels: Kernels
  readonly heap: Heap
  /**
   * Places of a call's input, output, second vector and low-rank values; shared, because one call
   * ends before the next begins.
   */
  readonly scratch: Scratch
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

const modules = { 'relaxed-simd': relaxedSimdModule, simd: simdModule }

/** A separate context with its own memory; undefined if the platform cannot run these kernels. */
export function createContext(name: KernelName): KernelContext | undefined {
  const host = instantiate<Kernels>(
    modules,
    (memory) => createPlainMicroKernels(createFloatView(memory)),
    [name],
  )
  if (host === undefined) return undefined
  const heap = new Heap(host.memory)
  return { name, kernels: host.kernels, heap, scratch: new Scratch(heap) }
}

const shared = new Map<KernelName, KernelContext | undefined>()

function findSharedContext(name: KernelName): KernelContext | undefined {
  if (!shared.has(name)) shared.set(name, createContext(name))
  return shared.get(name)
}

/**
 * The kernels by name, or the fastest that run here; the same context at every call. Throws
 * OptionError if the named ones do not run here.
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
    `kernels: ${name} do not run on this platform; leave the option out to use the fastest supported ones.`,
  )
}

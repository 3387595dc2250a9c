// Kernels with a memory of their own that grows: the fastest that run here. Knows no layout;
// whoever holds an arena says what lies where.

import { relaxedSimdModule, simdModule } from './compiled.ts'
import type { LearnKernels } from './kernel.ts'
import { createPlainKernels } from './plain.ts'

export interface Arena {
  readonly kernels: LearnKernels
  /** All of the memory. Taken anew after `reserve`, which may move it. */
  readonly buffer: ArrayBuffer
  /** Makes the memory at least this large; what is in it stays. */
  reserve(sizeBytes: number): void
}

/** From the fastest on. */
export const arenaKinds = ['relaxed-simd', 'simd', 'plain'] as const
export type ArenaKind = (typeof arenaKinds)[number]

/**
 * The part of the platform's WebAssembly that is used; read from globalThis because a platform may
 * lack or forbid it.
 */
interface Platform {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown }
  readonly Memory: new (descriptor: { initial: number }) => {
    readonly buffer: ArrayBuffer
    grow(pages: number): number
  }
}

const pageBytes = 65_536

function compileArena(base64: string): Arena {
  const { Module, Instance, Memory } = (globalThis as unknown as { WebAssembly: Platform })
    .WebAssembly
  const module = new Module(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)))
  const memory = new Memory({ initial: 1 })
  return {
    kernels: new Instance(module, { env: { memory } }).exports as LearnKernels,
    get buffer() {
      return memory.buffer
    },
    reserve(sizeBytes) {
      const missing = sizeBytes - memory.buffer.byteLength
      if (missing > 0) memory.grow(Math.ceil(missing / pageBytes))
    },
  }
}

function createPlainArena(): Arena {
  let buffer = new ArrayBuffer(pageBytes)
  return {
    kernels: createPlainKernels(() => buffer),
    get buffer() {
      return buffer
    },
    reserve(sizeBytes) {
      if (sizeBytes > buffer.byteLength)
        buffer = buffer.transfer(Math.ceil(sizeBytes / pageBytes) * pageBytes)
    },
  }
}

const factories: Readonly<Record<ArenaKind, () => Arena>> = {
  'relaxed-simd': () => compileArena(relaxedSimdModule),
  simd: () => compileArena(simdModule),
  plain: createPlainArena,
}

/** An arena of this kind; undefined where the platform cannot run it. */
export function tryCreateArena(kind: ArenaKind): Arena | undefined {
  try {
    return factories[kind]()
  } catch {
    return undefined // no vectors, or a page's content security policy forbids compiling
  }
}

/** An arena of the fastest kind that runs here. */
export function createArena(): Arena {
  for (const kind of arenaKinds) {
    const arena = tryCreateArena(kind)
    if (arena) return arena
  }
  return createPlainArena()
}

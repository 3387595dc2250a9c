// The one WebAssembly host: detects which instructions the platform supports, decodes modules from
// base64, and gives their instances a growable memory. Where WebAssembly is missing or forbidden, a
// plain twin runs over an ordinary buffer. Independent of: what kernels compute.

export type KernelName = 'relaxed-simd' | 'simd' | 'plain'

/** From the fastest on. */
export const kernelNames: readonly KernelName[] = ['relaxed-simd', 'simd', 'plain']

export interface GrowingMemory {
  /** All of the memory. Growing replaces it, so views are made again after `reserve`. */
  readonly buffer: ArrayBuffer
  /** Makes the memory at least this large; its contents stay. Throws RangeError if it cannot. */
  reserve(sizeBytes: number): void
}

/** Kernels that run here, and the memory they work on. */
export interface KernelHost<Kernels> {
  readonly name: KernelName
  readonly kernels: Kernels
  readonly memory: GrowingMemory
}

/** Modules in base64, by the instructions they need; each imports its memory as env.memory. */
export interface KernelModules {
  readonly 'relaxed-simd'?: string
  readonly simd?: string
}

/** The same kernels in plain JavaScript, over the buffer that the memory has at each call. */
export type PlainTwin<Kernels> = (memory: GrowingMemory) => Kernels

/**
 * The part of the platform's WebAssembly that is used; read from globalThis because a platform may
 * lack it.
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

const pageBytes = 65_536

export const decodeBase64 = (base64: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))

/** Undefined if the platform lacks the instructions; throws where a page forbids compiling. */
function instantiateModule<Kernels>(
  name: KernelName,
  base64: string,
): KernelHost<Kernels> | undefined {
  const platform = (globalThis as { readonly WebAssembly?: Platform }).WebAssembly
  const bytes = decodeBase64(base64)
  if (!platform?.validate(bytes)) return undefined
  const module = new platform.Module(bytes)
  const memory = new platform.Memory({ initial: 1 })
  const instance = new platform.Instance(module, { env: { memory } })
  return {
    name,
    kernels: instance.exports as Kernels,
    memory: {
      get buffer() {
        return memory.buffer
      },
      reserve(sizeBytes) {
        const missing = sizeBytes - memory.buffer.byteLength
        if (missing > 0) memory.grow(Math.ceil(missing / pageBytes))
      },
    },
  }
}

/** An ordinary buffer that is copied into a larger one. */
export function createPlainMemory(): GrowingMemory {
  let buffer = new ArrayBuffer(pageBytes)
  return {
    get buffer() {
      return buffer
    },
    reserve(sizeBytes) {
      if (sizeBytes <= buffer.byteLength) return
      const larger = new ArrayBuffer(Math.ceil(sizeBytes / pageBytes) * pageBytes)
      new Uint8Array(larger).set(new Uint8Array(buffer))
      buffer = larger
    },
  }
}

/** The memory as floats, looked up again only after it was replaced. */
export function createFloatView(memory: GrowingMemory): () => Float32Array<ArrayBuffer> {
  let view = new Float32Array(memory.buffer)
  return () => (view.buffer === memory.buffer ? view : (view = new Float32Array(memory.buffer)))
}

/**
 * Instantiates the first of the wanted kernels that runs here, with a new memory; undefined if none
 * does.
 */
export function instantiate<Kernels>(
  modules: KernelModules,
  createPlain?: PlainTwin<Kernels>,
  wanted: readonly KernelName[] = kernelNames,
): KernelHost<Kernels> | undefined {
  for (const name of wanted) {
    if (name === 'plain') {
      if (createPlain === undefined) continue
      const memory = createPlainMemory()
      return { name, kernels: createPlain(memory), memory }
    }
    const base64 = modules[name]
    if (base64 === undefined) continue
    try {
      const host = instantiateModule<Kernels>(name, base64)
      if (host !== undefined) return host
    } catch {
      // a page's content security policy may forbid WebAssembly
    }
  }
  return undefined
}

// The head of a GGUF file whose tensors would follow it: for files too large to be made.

interface SparseTensor {
  readonly name: string
  /** The outermost dimension first. */
  readonly shape: readonly number[]
}

export interface SparseGguf {
  readonly head: Uint8Array
  /** Of the whole file. */
  readonly sizeBytes: number
}

const f32Type = 0
const stringType = 8
const alignment = 32

/** A file of the architecture llama with these tensors in f32. */
export function createSparseGguf(tensors: readonly SparseTensor[]): SparseGguf {
  const parts: Uint8Array[] = []
  const add = (bytes: number, write: (view: DataView) => void): void => {
    const view = new DataView(new ArrayBuffer(bytes))
    write(view)
    parts.push(new Uint8Array(view.buffer))
  }
  const u32 = (value: number): void => add(4, (view) => view.setUint32(0, value, true))
  const u64 = (value: number): void => add(8, (view) => view.setBigUint64(0, BigInt(value), true))
  const text = (value: string): void => {
    const bytes = new TextEncoder().encode(value)
    u64(bytes.length)
    parts.push(bytes)
  }
  parts.push(new TextEncoder().encode('GGUF'))
  u32(3)
  u64(tensors.length)
  u64(1)
  text('general.architecture')
  u32(stringType)
  text('llama')
  let offset = 0
  for (const { name, shape } of tensors) {
    text(name)
    u32(shape.length)
    for (const length of shape.toReversed()) u64(length)
    u32(f32Type)
    u64(offset)
    offset += roundUp(4 * shape.reduce((product, length) => product * length, 1))
  }
  const written = Buffer.concat(parts)
  const head = new Uint8Array(roundUp(written.length))
  head.set(written)
  return { head, sizeBytes: head.length + offset }
}

const roundUp = (bytes: number): number => Math.ceil(bytes / alignment) * alignment

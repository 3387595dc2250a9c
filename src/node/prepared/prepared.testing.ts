// A store of one packed weight and one vector over a file, and what packs it.
import { writeFile } from 'node:fs/promises'
import { f32, type Tensor } from '../../base/tensor.ts'
import type { PackedPart } from '../../compute/packed-files.ts'
import type { TensorStore } from '../../formats/tensor-store.ts'

export const partBytes = 20_000

/** A store whose file exists; what is in it does not matter. */
export async function createStore(path: string, first = 1): Promise<TensorStore> {
  await writeFile(path, 'weights', { flag: 'wx' }).catch(() => undefined)
  const norm = f32([2], [first, 2])
  return {
    name: path,
    tensors: new Map([
      ['a.weight', { dtype: 'q4_0', shape: [32, 32], sizeBytes: 576 }],
      ['norm.weight', { dtype: 'f32', shape: [2], sizeBytes: 8 }],
    ]),
    metadata: {},
    read: async () => norm,
    close: async () => undefined,
  }
}

/** Parts of `partBytes` each, filled with their number + 1; `packed` is called for each. */
export function createParts(
  count: number,
  packed: (part: number) => void = () => {},
): PackedPart[] {
  return Array.from({ length: count }, (_, part) => {
    const name = `w${part}.codes`
    const shape = [partBytes]
    return {
      tensors: [{ name, dtype: 'u8', shape }],
      make: async () => {
        packed(part)
        const data = new Uint8Array(partBytes).fill(part + 1)
        return new Map<string, Tensor>([[name, { dtype: 'u8', shape, data }]])
      },
    }
  })
}

// A GGUF file written again with some of its tensors replaced. Whatever is not replaced is copied
// byte for byte, metadata included.

import { UnsupportedError } from '../../base/errors.ts'
import type { Tensor } from '../../base/tensor.ts'
import { quoteName } from '../quote.ts'
import type { GgufEntry, GgufFile } from './types.ts'
import { encodeGgufStream, type GgufTensorHead } from './writer.ts'

/**
 * Another tensor under a name, of a type that is known before it is read. Its rows are ordered as
 * the file's do.
 */
export interface GgufChange extends GgufTensorHead {
  read(): Promise<Tensor>
}

/**
 * The file's metadata with their types, as the writer takes them. Throws UnsupportedError for lists
 * in lists.
 */
export function toGgufEntries({ name, metadata, metadataTypes }: GgufFile): Map<string, GgufEntry> {
  const entries = new Map<string, GgufEntry>()
  for (const [key, value] of metadata) {
    const type = metadataTypes.get(key)!
    if (type === 'list[]')
      throw new UnsupportedError(
        `${name}: metadata ${quoteName(key)} contains lists in lists, which cannot be written again.`,
      )
    entries.set(key, { type, value })
  }
  return entries
}

/**
 * The chunks of the file with changes by ggml name; names that the file does not have are added
 * behind.
 */
export function copyGguf(
  file: GgufFile,
  changes: ReadonlyMap<string, GgufChange>,
  onTensor: (name: string, sizeBytes: number) => void = () => undefined,
): AsyncGenerator<Uint8Array> {
  const heads = new Map<string, GgufTensorHead>()
  for (const [name, { type, shape }] of file.tensors) heads.set(name, { dtype: type, shape })
  for (const [name, { dtype, shape }] of changes) heads.set(name, { dtype, shape })
  return encodeGgufStream(toGgufEntries(file), heads, async (name) => {
    const tensor = await (changes.get(name)?.read() ?? file.read(name))
    onTensor(name, tensor.data.byteLength)
    return tensor
  })
}

// The size of an adapter: bytes of its files, and of its tensors in memory.

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Adapter } from '../../adapters/adapter.ts'
import { sizeOf } from '../../base/tensor.ts'
import { isIgnoredPath } from '../../registry/signing/resources.ts'
import { runFolders } from './content-hash.ts'

/** Bytes of a 32-bit float, the type in which adapters compute. */
const floatBytes = 4

/** Of the adapter that was just saved in this folder. */
export async function measureFigures(folder: string, { tensors }: Adapter) {
  const names = await readdir(folder, { recursive: true })
  const files = names.filter(
    (name) => /adapter_model.*\.safetensors$/.test(name) && !isIgnoredPath(name, runFolders),
  )
  const sizes = await Promise.all(files.map(async (name) => (await stat(join(folder, name))).size))
  const numbers = [...tensors.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0)
  return {
    adapterBytes: sizes.reduce((sum, size) => sum + size, 0),
    residentBytes: floatBytes * numbers,
  }
}

// Checks that WebAssembly can address a model's memory, from the headers of its files, before they
// are downloaded.

import { UnsupportedError } from '../base/errors.ts'
import { isRecord } from '../base/schema.ts'
import type { ByteFolder } from '../formats/byte-source.ts'
import { openGguf } from '../formats/gguf/reader.ts'
import { requestFile } from './sources/request.ts'
import { openUrlSource } from './sources/url-source.ts'

/**
 * The bytes that WebAssembly can address, less those that a run needs in addition to the weights.
 */
const addressableBytes = 3.6e9

/** Throws UnsupportedError if a use of a model needs more than that. */
export function checkAddressable(
  name: string,
  use: 'serving' | 'training',
  neededBytes: number,
): void {
  if (neededBytes <= addressableBytes) return
  const advice =
    use === 'training' ? ', or a quantised base (quantization: nf4)' : ', or one in fewer bits'
  throw new UnsupportedError(
    `Model "${name}": ${use} needs ${(neededBytes / 1e9).toFixed(1)} GB, and WebAssembly addresses 4 GB. Take a smaller model${advice}.`,
  )
}

/** Bytes of tensors in their file. */
export const countStoredBytes = (
  tensors: ReadonlyMap<string, { readonly sizeBytes: number }>,
): number => [...tensors.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)

const splitName = /-\d{5}-of-\d{5}\.gguf$/i

/**
 * Throws UnsupportedError for a model file that is too large; for a GGUF file that llama.cpp has
 * split, all parts count together.
 */
export async function checkModelFile(url: string, sizeBytes: number): Promise<void> {
  const { pathname } = new URL(url)
  const isSplit = splitName.test(pathname)
  if (sizeBytes <= addressableBytes && !isSplit) return
  const name = decodeURIComponent(pathname.split('/').at(-1)!)
  const neededBytes = /\.gguf$/i.test(pathname) ? await countHeadBytes(url) : undefined
  checkAddressable(name, 'serving', neededBytes ?? sizeBytes)
}

/**
 * Bytes of the tensors that a GGUF file's header lists; undefined if the server does not support
 * ranges.
 */
async function countHeadBytes(url: string): Promise<number | undefined> {
  const probe = await requestFile(url, { from: 0, to: 0 })
  await probe?.body?.cancel()
  if (probe?.status !== 206) return undefined
  const open = async (place: string) => {
    const source = await openUrlSource(place)
    if (!source) return undefined
    const { name, sizeBytes } = source
    const openBeside = (file: string) => open(new URL(encodeURIComponent(file), place).href)
    return { name, sizeBytes, read: source.read.bind(source), openBeside }
  }
  const source = await open(url)
  return source && countStoredBytes((await openGguf(source)).tensors)
}

const indexName = 'model.safetensors.index.json'

/** Throws UnsupportedError for a folder whose index gives a total size that is too large. */
export async function checkModelFolder(name: string, folder: ByteFolder): Promise<void> {
  const file = await folder.open(indexName)
  if (!file) return
  const text = new TextDecoder().decode(await file.read(0, file.sizeBytes))
  const sizeBytes = readTotalSize(text)
  if (sizeBytes !== undefined) checkAddressable(name, 'serving', sizeBytes)
}

/** Undefined for an invalid index, which its reader reports. */
function readTotalSize(text: string): number | undefined {
  try {
    const index: unknown = JSON.parse(text)
    const metadata = isRecord(index) ? index['metadata'] : undefined
    const size = isRecord(metadata) ? metadata['total_size'] : undefined
    return typeof size === 'number' ? size : undefined
  } catch {
    return undefined
  }
}

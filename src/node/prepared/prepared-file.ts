// A file of packed weights: the tensors, each at a multiple of 4,096 bytes, then an index of them,
// then a footer with the position of the index. Independent of models and of where files are.

import { createHash } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { isRecord } from '../../base/schema.ts'
import { viewBytes, type Tensor } from '../../base/tensor.ts'
import { PackRoom } from '../../compute/pack.ts'
import type { NamedTensor, PackedPart } from '../../compute/packed-files.ts'

/** A tensor's position, and checksums of its ends. */
export interface PreparedTensor extends NamedTensor {
  readonly offsetBytes: number
  readonly sizeBytes: number
  /** CRC-32 of the first and the last 4,096 bytes. */
  readonly checks: readonly [first: number, last: number]
}

const alignmentBytes = 4096
const sampleBytes = 4096
const magic = 'GRAFTPK1'
/** Magic, length of the index, and the first 16 bytes of its SHA-256. */
const footerBytes = 32

const alignUp = (offset: number): number => Math.ceil(offset / alignmentBytes) * alignmentBytes

const hashIndex = (index: Uint8Array): Buffer =>
  createHash('sha256').update(index).digest().subarray(0, 16)

const sample = (bytes: Uint8Array): readonly [number, number] => [
  crc32(bytes.subarray(0, sampleBytes)),
  crc32(bytes.subarray(Math.max(0, bytes.length - sampleBytes))),
]

/** Writes all of it: a system call takes 2 GB at most. */
async function writeAll(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const length = Math.min(bytes.length - done, 1 << 30)
    const { bytesWritten } = await file.write(bytes, done, length, at + done)
    done += bytesWritten
  }
}

/** Parts that are read and packed while one is written. */
const partsAhead = 2

/**
 * Writes the parts one after the other; the next two are read and packed meanwhile. Nothing is
 * synced.
 */
export async function writePrepared(
  file: FileHandle,
  parts: readonly PackedPart[],
): Promise<PreparedTensor[]> {
  const written: PreparedTensor[] = []
  const rooms = Array.from({ length: partsAhead + 1 }, () => new PackRoom())
  const begin = (index: number): Promise<ReadonlyMap<string, Tensor>> | undefined => {
    const making = parts[index]?.make(rooms[index % rooms.length])
    making?.catch(() => undefined) // reported where it is awaited
    return making
  }
  const begun = Array.from({ length: partsAhead }, (_, index) => begin(index))
  let at = 0
  let writing: Promise<void> = Promise.resolve()
  for (const [index, { tensors }] of parts.entries()) {
    const made = (await begun[index])!
    await writing // its buffer is reused for the next one
    begun.push(begin(index + partsAhead))
    const places = tensors.map(({ name, dtype, shape }) => {
      const bytes = viewBytes(made.get(name) as Tensor)
      const offsetBytes = at
      at = alignUp(at + bytes.length)
      written.push({
        name,
        dtype,
        shape,
        offsetBytes,
        sizeBytes: bytes.length,
        checks: sample(bytes),
      })
      return { bytes, offsetBytes }
    })
    writing = writePlaces(file, places)
    writing.catch(() => undefined)
  }
  await writing
  const index = Buffer.from(JSON.stringify(written))
  const footer = Buffer.alloc(footerBytes)
  footer.write(magic, 'latin1')
  footer.writeBigUInt64LE(BigInt(index.length), 8)
  footer.set(hashIndex(index), 16)
  await writeAll(file, Buffer.concat([index, footer]), at)
  return written
}

async function writePlaces(
  file: FileHandle,
  places: readonly { readonly bytes: Uint8Array; readonly offsetBytes: number }[],
): Promise<void> {
  for (const { bytes, offsetBytes } of places) await writeAll(file, bytes, offsetBytes)
}

/** The index of a complete file; undefined if the file is missing, truncated or damaged. */
export async function readPrepared(path: string): Promise<PreparedTensor[] | undefined> {
  const file = await open(path, 'r').catch(() => undefined)
  try {
    return file && (await readIndex(file))
  } catch {
    return undefined // the index is not JSON, or a read failed
  } finally {
    await file?.close()
  }
}

async function readIndex(file: FileHandle): Promise<PreparedTensor[] | undefined> {
  const { size } = await file.stat()
  const footer = await readAt(file, size - footerBytes, footerBytes)
  if (footer?.toString('latin1', 0, 8) !== magic) return undefined
  const length = Number(footer.readBigUInt64LE(8))
  const indexAt = size - footerBytes - length
  const index = await readAt(file, indexAt, length)
  if (!index || !hashIndex(index).equals(footer.subarray(16))) return undefined
  const tensors: unknown = JSON.parse(index.toString())
  if (!Array.isArray(tensors) || !tensors.every(isRecord)) return undefined
  const known = tensors as unknown as PreparedTensor[]
  for (const tensor of known) if (!(await isWhole(file, tensor, indexAt))) return undefined
  return known
}

async function readAt(file: FileHandle, at: number, length: number): Promise<Buffer | undefined> {
  if (at < 0 || length < 0) return undefined
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at)
  return bytesRead === length ? buffer : undefined
}

/** Checks only a tensor's ends, because reading all of it would take as long as packing. */
async function isWhole(
  file: FileHandle,
  { offsetBytes, sizeBytes, checks }: PreparedTensor,
  endBytes: number,
): Promise<boolean> {
  if (offsetBytes + sizeBytes > endBytes) return false
  const length = Math.min(sizeBytes, sampleBytes)
  const ends = await Promise.all(
    [offsetBytes, offsetBytes + sizeBytes - length].map((at) => readAt(file, at, length)),
  )
  return ends.every((bytes, i) => bytes !== undefined && crc32(bytes) === checks[i])
}

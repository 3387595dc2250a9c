// Writes GGUF files, version 3, as a stream of chunks: models and LoRA adapters. The whole file is
// never in memory.

import { blockLayout, countBytes, type DType, isBlockType } from '../../base/dtype.ts'
import { assertInternal, OptionError, ShapeError, UnsupportedError } from '../../base/errors.ts'
import { viewBytes, sizeOf, type Tensor } from '../../base/tensor.ts'
import { quoteName } from '../quote.ts'
import {
  defaultAlignmentBytes,
  ggmlTypeNumbers,
  type GgufEntry,
  ggufMagic,
  type GgufNumberType,
  type GgufScalarType,
  type GgufValue,
  mostDimensions,
  numberCodecs,
  valueTypes,
} from './types.ts'

export interface GgufContent {
  readonly metadata: ReadonlyMap<string, GgufEntry>
  /** By ggml name, shapes row-major; written in this order. */
  readonly tensors: ReadonlyMap<string, Tensor>
}

/** The header's entry of a tensor. */
export interface GgufTensorHead {
  readonly dtype: DType
  /** Row-major. */
  readonly shape: readonly number[]
}

/**
 * The file's chunks: the head, then each tensor's bytes as a view, not copied, padded to the
 * alignment (`general.alignment`, else 32). Everything is checked before the first chunk: throws
 * UnsupportedError for element types that GGUF lacks, ShapeError where data and shape disagree,
 * OptionError for metadata whose value does not fit its type.
 */
export function* encodeGguf({ metadata, tensors }: GgufContent): Generator<Uint8Array> {
  for (const [name, tensor] of tensors) checkData(name, tensor)
  const alignment = readAlignment(metadata)
  yield* encodeHead(metadata, tensors)
  for (const tensor of tensors.values()) yield* padBytes(viewBytes(tensor), alignment)
}

/**
 * The same for tensors that are read one after the other, each when its turn has come. Throws as
 * `encodeGguf` does; a tensor whose form differs from the header's is found when it is read.
 */
export async function* encodeGgufStream(
  metadata: ReadonlyMap<string, GgufEntry>,
  heads: ReadonlyMap<string, GgufTensorHead>,
  read: (name: string) => Promise<Tensor>,
): AsyncGenerator<Uint8Array> {
  const alignment = readAlignment(metadata)
  yield* encodeHead(metadata, heads)
  for (const [name, { dtype, shape }] of heads) {
    const tensor = await read(name)
    assertInternal(
      tensor.dtype === dtype,
      `tensor ${quoteName(name)} came as ${tensor.dtype}, the header has ${dtype}`,
    )
    checkData(name, { dtype, shape, data: tensor.data })
    yield* padBytes(viewBytes(tensor), alignment)
  }
}

const readAlignment = (metadata: GgufContent['metadata']): number =>
  Number(metadata.get('general.alignment')?.value ?? defaultAlignmentBytes)

function* padBytes(bytes: Uint8Array, alignment: number): Generator<Uint8Array> {
  yield bytes
  yield new Uint8Array(countPadding(bytes.length, alignment))
}

/** Everything before the tensors' bytes, padded. */
function* encodeHead(
  metadata: GgufContent['metadata'],
  tensors: ReadonlyMap<string, GgufTensorHead>,
): Generator<Uint8Array> {
  for (const [name, tensor] of tensors) checkHead(name, tensor)
  const alignment = readAlignment(metadata)
  const head = new HeadWriter()
  head.number('u32', ggufMagic)
  head.number('u32', 3)
  head.number('u64', tensors.size)
  head.number('u64', metadata.size)
  for (const [key, entry] of metadata) head.entry(key, entry)
  let offset = 0
  for (const [name, tensor] of tensors) {
    const sizeBytes = countBytes(tensor.dtype, sizeOf(tensor.shape))
    head.tensor(name, tensor, offset)
    offset += sizeBytes + countPadding(sizeBytes, alignment)
  }
  yield* padBytes(head.bytes(), alignment)
}

const countPadding = (sizeBytes: number, alignment: number): number =>
  (alignment - (sizeBytes % alignment)) % alignment

function checkHead(name: string, { dtype, shape }: GgufTensorHead): void {
  if (ggmlTypeNumbers[dtype] === undefined) {
    throw new UnsupportedError(
      `tensor ${quoteName(name)}: GGUF cannot hold ${dtype}; convert it to f32, f16 or bf16 first.`,
    )
  }
  if (shape.length > mostDimensions)
    throw new ShapeError(
      `tensor ${quoteName(name)}: got ${shape.length} dimensions, GGUF allows at most ${mostDimensions}.`,
    )
  if (isBlockType(dtype) && (shape.at(-1) ?? 1) % blockLayout[dtype].elements !== 0) {
    throw new ShapeError(
      `tensor ${quoteName(name)}: got rows of ${shape.at(-1)}, ${dtype} needs a multiple of ${blockLayout[dtype].elements}.`,
    )
  }
}

function checkData(name: string, { dtype, shape, data }: Tensor): void {
  checkHead(name, { dtype, shape })
  const expected = countBytes(dtype, sizeOf(shape))
  if (data.byteLength !== expected) {
    throw new ShapeError(
      `tensor ${quoteName(name)}: got ${data.byteLength} bytes, expected ${expected} for ${dtype} [${shape.join(', ')}].`,
    )
  }
}

/** Collects the head, whose length is known only at its end. */
class HeadWriter {
  readonly #parts: Uint8Array[] = []
  #sizeBytes = 0

  #push(part: Uint8Array): void {
    this.#parts.push(part)
    this.#sizeBytes += part.length
  }

  number(type: GgufNumberType, value: number | bigint): void {
    const part = new Uint8Array(numberCodecs[type].bytes)
    numberCodecs[type].set(new DataView(part.buffer), 0, value)
    this.#push(part)
  }

  string(text: string): void {
    const part = new TextEncoder().encode(text)
    this.number('u64', part.length)
    this.#push(part)
  }

  entry(key: string, { type, value }: GgufEntry): void {
    const mismatch = new OptionError(
      `metadata ${quoteName(key)}: the value does not fit its type ${type}.`,
    )
    this.string(key)
    if (!type.endsWith('[]')) {
      this.number('u32', valueTypes.indexOf(type as GgufScalarType))
      return this.#scalar(type as GgufScalarType, value, mismatch)
    }
    const itemType = type.slice(0, -2) as GgufScalarType
    const items =
      Array.isArray(value) || ArrayBuffer.isView(value)
        ? (value as ArrayLike<GgufValue>)
        : undefined
    if (!items) throw mismatch
    this.number('u32', valueTypes.indexOf('list'))
    this.number('u32', valueTypes.indexOf(itemType))
    this.number('u64', items.length)
    for (let i = 0; i < items.length; i++) this.#scalar(itemType, items[i]!, mismatch)
  }

  #scalar(type: GgufScalarType, value: GgufValue, mismatch: OptionError): void {
    if (type === 'string' && typeof value === 'string') this.string(value)
    else if (type === 'bool' && typeof value === 'boolean') this.number('u8', value ? 1 : 0)
    else if (type !== 'string' && type !== 'bool' && canHold(type, value)) this.number(type, value)
    else throw mismatch
  }

  tensor(name: string, { dtype, shape }: GgufTensorHead, offset: number): void {
    this.string(name)
    this.number('u32', shape.length)
    // the file has the innermost first
    for (const dim of shape.toReversed()) this.number('u64', dim)
    this.number('u32', ggmlTypeNumbers[dtype]!)
    this.number('u64', offset)
  }

  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#sizeBytes)
    let position = 0
    for (const part of this.#parts) {
      bytes.set(part, position)
      position += part.length
    }
    return bytes
  }
}

/** Whether a number keeps its value in a type; floats may round. */
function canHold(type: GgufNumberType, value: GgufValue): value is number | bigint {
  if (typeof value !== 'number' && typeof value !== 'bigint') return false
  if (type === 'f32' || type === 'f64') return true
  if (typeof value === 'number' && !Number.isSafeInteger(value)) return false
  const bits = BigInt(numberCodecs[type].bytes * 8)
  const [least, most] = type.startsWith('u')
    ? [0n, (1n << bits) - 1n]
    : [-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n]
  return BigInt(value) >= least && BigInt(value) <= most
}

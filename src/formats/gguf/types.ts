// The vocabulary of GGUF files: value types of the metadata, element types of tensors. No reading,
// no writing. Numbers as in ggml/include/gguf.h and ggml.h; the format:
// github.com/ggml-org/ggml/blob/master/docs/gguf.md.

import type { DType } from '../../base/dtype.ts'
import type { Tensor } from '../../base/tensor.ts'
import type { TakeMemory } from '../byte-source.ts'

export type GgufScalarType =
  'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'bool' | 'string' | 'u64' | 'i64' | 'f64'
/**
 * What a metadata value is in the file. Lists in lists are `list[]`: llama.cpp neither writes nor
 * reads them.
 */
export type GgufValueType = GgufScalarType | `${GgufScalarType}[]` | 'list[]'

type NumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array

/**
 * Lists of numbers are typed arrays; 64-bit integers are numbers where those are exact, else
 * bigints.
 */
export type GgufValue =
  | string
  | number
  | bigint
  | boolean
  | NumberArray
  | readonly string[]
  | readonly boolean[]
  | readonly GgufValue[]

/**
 * A metadata value with its type, as the writer needs it: llama.cpp refuses a u32 where it expects
 * an f32.
 */
export interface GgufEntry {
  readonly type: Exclude<GgufValueType, 'list[]'>
  readonly value: GgufValue
}

/** The position is the number in the file; 9 is a list. */
export const valueTypes = [
  'u8',
  'i8',
  'u16',
  'i16',
  'u32',
  'i32',
  'f32',
  'bool',
  'string',
  'list',
  'u64',
  'i64',
  'f64',
] as const

/** How a number is read and written, and the typed array of a list of them. */
export interface NumberCodec {
  readonly bytes: number
  readonly list: new (items: number) => NumberArray
  readonly get: (view: DataView, position: number) => number | bigint
  readonly set: (view: DataView, position: number, value: number | bigint) => void
}

export type GgufNumberType = Exclude<GgufScalarType, 'bool' | 'string'>

const toSafeNumber = (value: bigint): number | bigint =>
  value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(value)
    : value

export const numberCodecs: Readonly<Record<GgufNumberType, NumberCodec>> = {
  u8: {
    bytes: 1,
    list: Uint8Array,
    get: (view, at) => view.getUint8(at),
    set: (view, at, value) => view.setUint8(at, Number(value)),
  },
  i8: {
    bytes: 1,
    list: Int8Array,
    get: (view, at) => view.getInt8(at),
    set: (view, at, value) => view.setInt8(at, Number(value)),
  },
  u16: {
    bytes: 2,
    list: Uint16Array,
    get: (view, at) => view.getUint16(at, true),
    set: (view, at, value) => view.setUint16(at, Number(value), true),
  },
  i16: {
    bytes: 2,
    list: Int16Array,
    get: (view, at) => view.getInt16(at, true),
    set: (view, at, value) => view.setInt16(at, Number(value), true),
  },
  u32: {
    bytes: 4,
    list: Uint32Array,
    get: (view, at) => view.getUint32(at, true),
    set: (view, at, value) => view.setUint32(at, Number(value), true),
  },
  i32: {
    bytes: 4,
    list: Int32Array,
    get: (view, at) => view.getInt32(at, true),
    set: (view, at, value) => view.setInt32(at, Number(value), true),
  },
  f32: {
    bytes: 4,
    list: Float32Array,
    get: (view, at) => view.getFloat32(at, true),
    set: (view, at, value) => view.setFloat32(at, Number(value), true),
  },
  u64: {
    bytes: 8,
    list: BigUint64Array,
    get: (view, at) => toSafeNumber(view.getBigUint64(at, true)),
    set: (view, at, value) => view.setBigUint64(at, BigInt(value), true),
  },
  i64: {
    bytes: 8,
    list: BigInt64Array,
    get: (view, at) => toSafeNumber(view.getBigInt64(at, true)),
    set: (view, at, value) => view.setBigInt64(at, BigInt(value), true),
  },
  f64: {
    bytes: 8,
    list: Float64Array,
    get: (view, at) => view.getFloat64(at, true),
    set: (view, at, value) => view.setFloat64(at, Number(value), true),
  },
}

/** ggml's number of each element type that GGUF and Graft share. */
export const ggmlTypeNumbers: Readonly<Partial<Record<DType, number>>> = {
  f32: 0,
  f16: 1,
  q4_0: 2,
  q4_1: 3,
  q5_0: 6,
  q5_1: 7,
  q8_0: 8,
  q2_k: 10,
  q3_k: 11,
  q4_k: 12,
  q5_k: 13,
  q6_k: 14,
  iq2_xxs: 16,
  iq2_xs: 17,
  iq3_xxs: 18,
  iq1_s: 19,
  iq4_nl: 20,
  iq3_s: 21,
  iq2_s: 22,
  iq4_xs: 23,
  i8: 24,
  i16: 25,
  i32: 26,
  i64: 27,
  f64: 28,
  iq1_m: 29,
  bf16: 30,
  mxfp4: 39,
}

export const ggmlTypes: ReadonlyMap<number, DType> = new Map(
  Object.entries(ggmlTypeNumbers).map(([type, number]) => [number, type as DType]),
)

/** Names of types that ggml knows and Graft does not, for error messages. */
export const foreignGgmlTypes: ReadonlyMap<number, string> = new Map([
  [9, 'Q8_1'],
  [15, 'Q8_K'],
  [34, 'TQ1_0'],
  [35, 'TQ2_0'],
  [40, 'NVFP4'],
])

export const ggufMagic = 0x46554747 // "GGUF", little-endian
export const defaultAlignmentBytes = 32
/** GGML_MAX_DIMS */
export const mostDimensions = 4

export interface GgufTensorInfo {
  readonly type: DType
  /** Row-major, as everywhere in Graft: the reverse of ggml's `ne`. */
  readonly shape: readonly number[]
  /** Of the first byte, within the file. */
  readonly offset: number
  readonly sizeBytes: number
}

export interface GgufFile {
  /** Shown in errors. */
  readonly name: string
  readonly version: number
  readonly metadata: ReadonlyMap<string, GgufValue>
  /** The type each metadata value has in the file. */
  readonly metadataTypes: ReadonlyMap<string, GgufValueType>
  /** By ggml name, in the file's order. */
  readonly tensors: ReadonlyMap<string, GgufTensorInfo>
  /**
   * Reads only that tensor's bytes; block formats come as raw blocks. Throws NotFoundError for an
   * unknown name. The bytes may be in what `take` gives.
   */
  read(name: string, take?: TakeMemory): Promise<Tensor>
  close(): Promise<void>
}

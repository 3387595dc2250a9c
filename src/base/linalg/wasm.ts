// Just enough of WebAssembly's binary format to write single vector loops where they are used: Node
// and browsers run the same bytes, and no compiler stands between. Knows no loop itself; simd.ts
// and merge/elect-simd.ts have them.

/**
 * The part of the platform's WebAssembly that is used; read from globalThis because a platform may
 * lack or forbid it.
 */
interface Platform {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: unknown }
}

export interface LoopExports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number }
  run(...values: number[]): void
}

export type Code = number[]

const vector = 0xfd
export const get = (local: number): Code => [0x20, local]
export const set = (local: number): Code => [0x21, local]
/** 0 to 63: its signed form is one byte. */
export const pushConstant = (value: number): Code => [0x41, value]
/** local += amount */
export const advance = (local: number, amount: Code): Code => [
  ...get(local),
  ...amount,
  0x6a,
  ...set(local),
]
/** do … while (--counter ≠ 0) */
export const repeat = (counter: number, body: Code): Code => [
  0x03,
  0x40,
  ...body,
  ...get(counter),
  ...pushConstant(1),
  0x6b,
  0x22,
  counter,
  0x0d,
  0,
  0x0b,
]

const createOperation =
  (...code: Code) =>
  (a: Code, b: Code = []): Code => [...a, ...b, vector, ...code]
export const load = (address: Code, offset = 0): Code => [...address, vector, 0x00, 4, offset]
export const store = (address: Code, value: Code, offset = 0): Code => [
  ...address,
  ...value,
  vector,
  0x0b,
  4,
  offset,
]
/** Four bytes' pattern, least significant first, in all lanes. */
export const pushPattern = (bytes: readonly number[]): Code => [
  vector,
  0x0c,
  ...bytes,
  ...bytes,
  ...bytes,
  ...bytes,
]
export const zero: Code = pushPattern([0, 0, 0, 0])
export const and = createOperation(0x4e)
export const xor = createOperation(0x51)

/** Arithmetic on four f32 or two f64. */
export interface Lanes {
  readonly bytes: 4 | 8
  loadSplat(address: Code, offset: number): Code
  readonly add: (a: Code, b: Code) => Code
  readonly multiply: (a: Code, b: Code) => Code
}
export const single = {
  bytes: 4,
  loadSplat: (address: Code, offset: number): Code => [...address, vector, 0x09, 2, offset],
  add: createOperation(0xe4, 0x01),
  multiply: createOperation(0xe6, 0x01),
  divide: createOperation(0xe7, 0x01),
  absolute: createOperation(0xe0, 0x01),
  less: createOperation(0x43),
  greater: createOperation(0x44),
  notLess: createOperation(0x46),
} as const
export const double: Lanes = {
  bytes: 8,
  loadSplat: (address, offset) => [...address, vector, 0x0a, 3, offset],
  add: createOperation(0xf0, 0x01),
  multiply: createOperation(0xf2, 0x01),
}

/** LEB128, unsigned. */
const encodeLength = (value: number): number[] =>
  value < 128 ? [value] : [(value & 127) | 128, ...encodeLength(value >> 7)]
const withLength = (bytes: readonly number[]): number[] => [...encodeLength(bytes.length), ...bytes]
const encodeSection = (id: number, content: readonly number[]): number[] => [
  id,
  ...withLength(content),
]
const encodeName = (text: string): number[] =>
  withLength([...text].map((letter) => letter.charCodeAt(0)))
const i32 = 0x7f
const v128 = 0x7b

/**
 * A module with a memory and one function of i32 parameters, numbered from 0, then integer locals,
 * then vector locals.
 */
function encodeModule(
  parameters: number,
  integers: number,
  vectors: number,
  body: Code,
): Uint8Array {
  return Uint8Array.of(
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...encodeSection(1, [1, 0x60, ...withLength(Array<number>(parameters).fill(i32)), 0]),
    ...encodeSection(3, [1, 0]),
    ...encodeSection(5, [1, 0, 1]), // one memory, one page at first
    ...encodeSection(7, [2, ...encodeName('memory'), 2, 0, ...encodeName('run'), 0, 0]),
    ...encodeSection(10, [1, ...withLength([2, integers, i32, vectors, v128, ...body, 0x0b])]),
  )
}

/**
 * The loop, ready to run; undefined where the platform has no vectors, or a page forbids compiling.
 */
export function compileLoop(
  parameters: number,
  integers: number,
  vectors: number,
  body: Code,
): LoopExports | undefined {
  const platform = (globalThis as { readonly WebAssembly?: Platform }).WebAssembly
  try {
    return (
      platform &&
      (new platform.Instance(new platform.Module(encodeModule(parameters, integers, vectors, body)))
        .exports as LoopExports)
    )
  } catch {
    return undefined
  }
}

const pageBytes = 65_536

/** Makes the memory at least this large. Views of it must be made anew afterwards. */
export function reserve({ memory }: LoopExports, sizeBytes: number): void {
  const missing = sizeBytes - memory.buffer.byteLength
  if (missing > 0) memory.grow(Math.ceil(missing / pageBytes))
}

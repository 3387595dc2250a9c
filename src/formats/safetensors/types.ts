// The element types of safetensors files by their names there.

import type { PlainType } from '../../base/dtype.ts'

/**
 * Name in the file by type. The order is the writer's order of tensors: it is the reverse of the
 * enum `Dtype` in the Rust library (safetensors/src/tensor.rs), widest alignment first, so that
 * files come out as that library writes them.
 */
export const safetensorsNames: Readonly<Record<PlainType, string>> = {
  u64: 'U64',
  i64: 'I64',
  f64: 'F64',
  f32: 'F32',
  u32: 'U32',
  i32: 'I32',
  bf16: 'BF16',
  f16: 'F16',
  u16: 'U16',
  i16: 'I16',
  f8_e4m3: 'F8_E4M3',
  f8_e5m2: 'F8_E5M2',
  i8: 'I8',
  u8: 'U8',
  bool: 'BOOL',
}

/** Type by name in the file. */
export const safetensorsTypes: ReadonlyMap<string, PlainType> = new Map(
  Object.entries(safetensorsNames).map(([type, name]) => [name, type as PlainType]),
)

// ONNX Runtime's own operators (domain com.microsoft) that operations are written with. A platform
// may lack any of them; each also has a form in plain ONNX operators.

export const ownOperators = [
  'FusedMatMul',
  'GroupQueryAttention',
  'MatMulBnb4',
  'MatMulIntegerToFloat',
  'MatMulNBits',
  'QuickGelu',
  'RotaryEmbedding',
] as const

export type OwnOperator = (typeof ownOperators)[number]

/** Those that a platform has kernels for. */
export type OwnOperators = ReadonlySet<OwnOperator>

export const allOwnOperators: OwnOperators = new Set(ownOperators)

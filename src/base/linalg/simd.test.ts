import { describe, expect, it } from 'vitest'
import { random } from '../random.ts'
import { plainKernel } from './kernel.ts'
import { multiply } from './matmul.ts'
import { createMatrix, computeSquaredNorm } from './matrix.ts'
import { getFastKernels } from './simd.ts'

const { uniform } = random(1)
const rows = 11
const inner = 300
const columns = 2100 // more than one block each way, no multiple of a panel
const left = createMatrix(
  rows,
  inner,
  Float32Array.from({ length: rows * inner }, () => uniform() - 0.5),
)
const right = createMatrix(
  inner,
  columns,
  Float32Array.from({ length: inner * columns }, () => uniform() - 0.5),
)

const difference = (kernel: typeof plainKernel): number => {
  const expected = new Float64Array(rows * columns)
  const got = new Float64Array(rows * columns)
  multiply(createMatrix(rows, columns, expected), left, right, { kernel: plainKernel })
  multiply(createMatrix(rows, columns, got), left, right, { kernel })
  const distance = createMatrix(
    rows,
    columns,
    expected.map((value, i) => value - got[i]!),
  )
  return Math.sqrt(
    computeSquaredNorm(distance) / computeSquaredNorm(createMatrix(rows, columns, expected)),
  )
}

describe('the kernels in WebAssembly', () => {
  it('are there on this platform', () => {
    expect(getFastKernels().f32).not.toBe(plainKernel)
    expect(getFastKernels().f64).not.toBe(plainKernel)
  })
  it('equal their plain twin: in double precision to the bit, in single to its precision', () => {
    expect(difference(getFastKernels().f64)).toBe(0)
    expect(difference(getFastKernels().f32)).toBeLessThan(1e-6)
    expect(difference(getFastKernels().f32)).toBeGreaterThan(0)
  })
})

// Dot products of one vector with many stored ones: rows in 8 bits beside a query in 16. Vectors where the platform has them, else plain code
// with the same whole numbers. Knows no tokens and no users.

import { type Code, advance, compileLoop, get, load, type LoopExports, repeat, reserve, set, store, zero } from '../base/linalg/wasm.ts'

export interface RowStore {
  /** Rows are this many numbers, a multiple of 16: what is beyond a vector's length is zeros. */
  readonly stride: number
  /** Room for `count` rows; what the rows hold is kept. */
  grow(count: number): void
  /** The rows' memory, [rows · stride]; valid until `grow`. */
  rows(): Int8Array
  /** Σ row·query for the first `count` rows: whole numbers into `sums`. query: [stride]. */
  products(query: Int16Array, count: number, sums: Int32Array): void
}

const lanes = 16
const strideOf = (width: number): number => Math.ceil(width / lanes) * lanes

// Parameters: the query, the sums, the rows, how many, a row's blocks of 16. Integers: counter, place in the query. Vector: the sum.
const [query, sums, rows, count, blocks, counter, place, total] = [0, 1, 2, 3, 4, 5, 6, 7]

const op = (opcode: readonly number[], ...operands: readonly Code[]): Code => [...operands.flat(), 0xfd, ...opcode]
const dot = [0xba, 0x01] as const // i32x4.dot_i16x8_s
const add = [0xae, 0x01] as const // i32x4.add
const widen = { low: [0x87, 0x01], high: [0x88, 0x01] } as const // i16x8.extend_…_i8x16_s

function code(): Code {
  const half = (part: 'low' | 'high', offset: number): Code =>
    [...op(add, get(total), op(dot, op(widen[part], load(get(rows))), load(get(place), offset))), ...set(total)] // prettier-ignore
  const block = [...half('low', 0), ...half('high', 16), ...advance(rows, [0x41, 16]), ...advance(place, [0x41, 32])]
  const row = [...get(query), ...set(place), ...get(blocks), ...set(counter), ...zero, ...set(total), ...repeat(counter, block)]
  return repeat(count, [...row, ...store(get(sums), get(total)), ...advance(sums, [0x41, 16])])
}

/** Rows in the memory of a loop of their own. Memory: query, then four partial sums a row, then the rows. */
function vectorStore(loop: LoopExports, width: number): RowStore {
  const stride = strideOf(width)
  let capacity = 0
  const sumsAt = 2 * stride
  const rowsAt = (): number => sumsAt + 16 * capacity
  const view = (): Int8Array => new Int8Array(loop.memory.buffer, rowsAt(), capacity * stride)
  return {
    stride,
    rows: view,
    grow(wanted) {
      if (wanted <= capacity) return
      const [held, from] = [capacity * stride, rowsAt()]
      capacity = wanted
      reserve(loop, rowsAt() + capacity * stride)
      new Uint8Array(loop.memory.buffer).copyWithin(rowsAt(), from, from + held)
    },
    products(vector, length, into) {
      if (length === 0) return
      new Int16Array(loop.memory.buffer, 0, stride).set(vector)
      loop.run(0, sumsAt, rowsAt(), length, stride / lanes)
      const parts = new Int32Array(loop.memory.buffer, sumsAt, 4 * length)
      for (let i = 0; i < length; i++) into[i] = parts[4 * i]! + parts[4 * i + 1]! + parts[4 * i + 2]! + parts[4 * i + 3]!
    },
  }
}

/** The plain twin. */
export function plainRowStore(width: number): RowStore {
  const stride = strideOf(width)
  let data = new Int8Array(0)
  return {
    stride,
    rows: () => data,
    grow(wanted) {
      if (wanted * stride <= data.length) return
      const wider = new Int8Array(wanted * stride)
      wider.set(data)
      data = wider
    },
    products(vector, length, into) {
      for (let i = 0, at = 0; i < length; i++, at += stride) {
        let sum = 0
        for (let j = 0; j < stride; j++) sum += data[at + j]! * vector[j]!
        into[i] = sum
      }
    },
  }
}

/** Rows of vectors of this width, over the fastest loop there is here. */
export function rowStore(width: number): RowStore {
  const loop = compileLoop(5, 2, 1, code())
  return loop ? vectorStore(loop, width) : plainRowStore(width)
}

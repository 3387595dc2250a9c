import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { blockLayout } from '../base/dtype.ts'
import { FormatError } from '../base/errors.ts'
import { f32, fromBytes } from '../base/tensor.ts'
import { interleaveRotaryRows, splitRotaryRows } from './rotary-rows.ts'

describe('rows of query and key', () => {
  it('become half-split: pairs (2i, 2i + 1) become (i, i + d/2) in every head', () => {
    const rows = f32([12], [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]) // two heads of six rows
    expect([...splitRotaryRows(rows, 2).data]).toEqual([0, 2, 4, 1, 3, 5, 10, 12, 14, 11, 13, 15])
  })

  it('as the reference converter permutes them', () => {
    // numpy: np.arange(8).reshape(8, 1).reshape(2, 2, 2, 1).swapaxes(1, 2).reshape(8, 1),
    // LlamaModel.permute with two heads
    expect([...interleaveRotaryRows(f32([8, 1], [0, 1, 2, 3, 4, 5, 6, 7]), 2).data]).toEqual([
      0, 2, 1, 3, 4, 6, 5, 7,
    ])
  })

  it('go there and back, plain and in blocks', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 5 }),
        fc.constantFrom('q4_1', 'q6_k'),
        (heads, pairs, dtype) => {
          const { elements, bytes } = blockLayout[dtype as 'q4_1']
          const rows = heads * pairs * 2
          const tensor = fromBytes(
            dtype as 'q4_1',
            [rows, elements],
            Uint8Array.from({ length: rows * bytes }, (_, i) => i * 31),
          )
          expect(splitRotaryRows(interleaveRotaryRows(tensor, heads), heads)).toEqual(tensor)
        },
      ),
    )
  })

  it('leave the argument as it was', () => {
    const tensor = f32([4], [0, 1, 2, 3])
    splitRotaryRows(tensor, 1)
    expect([...tensor.data]).toEqual([0, 1, 2, 3])
  })

  it('must be heads of an even width', () => {
    expect(() => splitRotaryRows(f32([6]), 2)).toThrow(FormatError)
    expect(() => splitRotaryRows(f32([6]), 4)).toThrow('got 6 rows, expected 4 heads')
  })
})

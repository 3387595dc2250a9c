// What every block format must do; run for each row of the table.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type BlockType, blockLayout } from '../../base/dtype.ts'
import { ShapeError } from '../../base/errors.ts'
import type { Quant } from './quant.ts'

/** Base64 of what the reference computes; see scripts/make_quant_fixtures.py. */
export interface QuantFixture {
  readonly blocks: string
  readonly values: string
  readonly source?: string
  readonly quantized?: string
}

const bytesOfText = (text: string): Uint8Array =>
  Uint8Array.from(atob(text), (char) => char.charCodeAt(0))
const floatsOfText = (text: string): Float32Array => new Float32Array(bytesOfText(text).buffer)

export function describeQuant(type: BlockType, quant: Quant, fixture: QuantFixture): void {
  const { elements, bytes: blockBytes } = blockLayout[type]
  describe(`${type} to f32`, () => {
    it('gives the reference’s values bit for bit', () => {
      const expected = floatsOfText(fixture.values)
      const values = new Float32Array(expected.length)
      quant.dequantize(bytesOfText(fixture.blocks), values)
      expect(new Uint32Array(values.buffer)).toEqual(new Uint32Array(expected.buffer))
    })

    it('turns any bytes into as many values', () => {
      const blocks = fc
        .nat(3)
        .chain((count) =>
          fc.uint8Array({ minLength: count * blockBytes, maxLength: count * blockBytes }),
        )
      fc.assert(
        fc.property(blocks, (bytes) => {
          const values = new Float32Array((bytes.length / blockBytes) * elements).fill(12345.678)
          quant.dequantize(bytes, values)
          expect(values.includes(Math.fround(12345.678))).toBe(false)
        }),
        { numRuns: 50 },
      )
    })

    it('works on a view at an odd position', () => {
      const bytes = bytesOfText(fixture.blocks)
      const moved = new Uint8Array(bytes.length + 1)
      moved.set(bytes, 1)
      const values = new Float32Array(floatsOfText(fixture.values).length)
      quant.dequantize(moved.subarray(1), values)
      expect(values).toEqual(floatsOfText(fixture.values))
    })

    it.each([
      [blockBytes - 1, elements],
      [blockBytes, elements + 1],
      [blockBytes, elements - 1],
      [blockBytes, 2 * elements],
      [0, elements],
    ])('refuses %i bytes for %i values', (byteCount, valueCount) => {
      expect(() =>
        quant.dequantize(new Uint8Array(byteCount), new Float32Array(valueCount)),
      ).toThrow(ShapeError)
      expect(() =>
        quant.dequantize(new Uint8Array(byteCount), new Float32Array(valueCount)),
      ).toThrow(type)
    })
  })
}

export function describeQuantize(
  type: BlockType,
  quant: Required<Quant>,
  fixture: Required<QuantFixture>,
): void {
  const { elements, bytes: blockBytes } = blockLayout[type]
  describe(`f32 to ${type}`, () => {
    it('quantises to the reference’s blocks byte for byte', () => {
      const source = floatsOfText(fixture.source)
      const blocks = new Uint8Array((source.length / elements) * blockBytes)
      quant.quantize(source, blocks)
      expect(blocks).toEqual(bytesOfText(fixture.quantized))
    })

    it('stays within one step of what it quantised', () => {
      const value = fc.float({ min: -100, max: 100, noNaN: true })
      fc.assert(
        fc.property(
          fc.float32Array({
            min: -100,
            max: 100,
            noNaN: true,
            minLength: elements,
            maxLength: elements,
          }),
          value,
          (values, last) => {
            values[elements - 1] = last
            const blocks = new Uint8Array(blockBytes)
            const back = new Float32Array(elements)
            quant.quantize(values, blocks)
            quant.dequantize(blocks, back)
            const step =
              (Math.max(...values) - Math.min(...values, 0) + Math.max(...values.map(Math.abs))) /
                15 +
              1e-6
            for (let i = 0; i < elements; i++)
              expect(Math.abs(back[i]! - values[i]!)).toBeLessThanOrEqual(step * 1.01)
          },
        ),
        { numRuns: 100 },
      )
    })

    it('refuses lengths that do not fit', () => {
      expect(() =>
        quant.quantize(new Float32Array(elements + 1), new Uint8Array(blockBytes)),
      ).toThrow(ShapeError)
    })
  })
}

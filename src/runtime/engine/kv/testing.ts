// Synthetic entries for tests: every value is a function of token, expert, tenant and position.

import { f32, type Tensor } from '../../../base/tensor.ts'
import { getF16Values } from '../../../formats/half.ts'
import type { KvRow, KvShape, SavedPrefixes } from './kv-types.ts'

export const tinyShape: KvShape = { layers: 2, kvHeads: 3, headWidth: 4 }

/** A place for saved prefixes that saves at once. */
export function createSavedBlocks(): {
  readonly blocks: Map<string, Uint8Array>
  readonly saved: SavedPrefixes
} {
  const blocks = new Map<string, Uint8Array>()
  const saved: SavedPrefixes = {
    has: (key) => blocks.has(key),
    read: (key) => blocks.get(key),
    touch: () => undefined,
    save: (key, take) => void blocks.set(key, take()!.slice()),
    forget: async (mark) => {
      for (const key of blocks.keys()) if (key.startsWith(mark)) blocks.delete(key)
    },
    flush: async () => undefined,
  }
  return { blocks, saved }
}

interface Author {
  readonly expert: string
  readonly tenant: string
}

/** An integer below 2,048: exact in f16 too. */
function computeValue(token: number, { expert, tenant }: Author, part: number, at: number): number {
  const author = 2 * Number(expert.slice(1)) + Number(tenant.slice(1))
  return (token * 31 + author * 97 + part * 17 + at * 7) % 2039
}

/** cache.<layer>.k and .v [N, K, width, d]; NaN after each row's tokens. */
export function createEntries(
  rows: readonly { readonly tokens: readonly number[]; readonly who: Author }[],
  width: number,
): ReadonlyMap<string, Tensor> {
  const { layers, kvHeads, headWidth } = tinyShape
  const outputs = new Map<string, Tensor>()
  for (let part = 0; part < 2 * layers; part++) {
    const entry = f32([rows.length, kvHeads, width, headWidth])
    entry.data.fill(Number.NaN)
    rows.forEach(({ tokens, who }, n) => {
      for (let head = 0; head < kvHeads; head++) {
        tokens.forEach((token, t) => {
          for (let i = 0; i < headWidth; i++)
            entry.data[((n * kvHeads + head) * width + t) * headWidth + i] = computeValue(
              token,
              who,
              part,
              head * headWidth + i,
            )
        })
      }
    })
    outputs.set(`cache.${part >> 1}.${part % 2 === 0 ? 'k' : 'v'}`, entry)
  }
  return outputs
}

/** Describes the first wrong value that a row feeds; undefined if all are right. */
export function readRow(row: KvRow, tokens: readonly number[], who: Author): string | undefined {
  const { layers, kvHeads, headWidth } = tinyShape
  const feeds = row.bank.feeds(row.index, 1)
  for (let part = 0; part < 2 * layers; part++) {
    const name = `past.${part >> 1}.${part % 2 === 0 ? 'k' : 'v'}`
    const { dtype, data, shape } = feeds.get(name)!
    const expectedShape = [1, kvHeads, row.bank.capacity, headWidth]
    if (String(shape) !== String(expectedShape))
      return `${name}: got the shape ${String(shape)}, expected ${String(expectedShape)}`
    const numbers = data as Float32Array | Uint16Array
    for (let at = 0; at < numbers.length; at++) {
      const got = dtype === 'f16' ? getF16Values()[numbers[at]!]! : numbers[at]!
      const head = Math.floor(at / (row.bank.capacity * headWidth))
      const position = Math.floor(at / headWidth) % row.bank.capacity
      const token = tokens[position]
      if (token === undefined) {
        if (!Number.isFinite(got)) return `${name}: ${got} in the empty slot ${position}`
        continue
      }
      const expected = computeValue(token, who, part, head * headWidth + (at % headWidth))
      if (got !== expected)
        return `${name}, head ${head}, position ${position}: got ${got}, expected ${expected}`
    }
  }
  return undefined
}

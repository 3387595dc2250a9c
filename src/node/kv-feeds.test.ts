// ONNX Runtime reads the engine's banks without a copy, also after they have grown in place.

import { expect, it } from 'vitest'
import { GraphBuilder } from '../graph/builder.ts'
import { createKvMemory, type KvRow } from '../runtime/engine/kv/kv-memory.ts'
import { createEntries, tinyShape } from '../runtime/engine/kv/testing.ts'
import { createNodeBackend } from './backend.ts'

it('a program reads the rows of a bank, one or all, before and after growth', async () => {
  const g = new GraphBuilder()
  const past = g.input('past.0.k', 'f32', ['N', tinyShape.kvHeads, 'C', tinyShape.headWidth])
  g.output('double', g.op('add', [past, past]))
  const program = await (await createNodeBackend()).compile(g.build())
  const memory = createKvMemory({ shape: tinyShape, blocks: 40, maxRows: 4 })
  const who = { expert: 'e0', tenant: 't0' }
  const append = (rows: readonly KvRow[], tokens: number[]): void => {
    const entry = createEntries(
      rows.map(() => ({ tokens, who })),
      tokens.length,
    )
    memory.append(
      rows,
      entry,
      rows.map(() => tokens.length),
    )
  }
  const check = async (from: number, count: number): Promise<void> => {
    const feeds = memory.banks[0]!.feeds(from, count)
    const { data, shape } = feeds.get('past.0.k')!
    const result = (await program.run(feeds)).get('double')!
    expect(result.shape).toEqual(shape)
    expect([...(result.data as Float32Array)]).toEqual(
      [...(data as Float32Array)].map((value) => 2 * value),
    )
  }
  const rows = [1, 2].map((token) => {
    const row = memory.open('shared', { keys: [], cached: 0, tokens: 3 })!
    append([row], [token, token, token])
    return row
  })
  await check(0, 1)
  await check(1, 1)
  await check(0, 2)
  append(rows, [5]) // the same views, other contents
  await check(0, 2)
  expect(memory.reserve(rows[0]!, 100)).toBe(true)
  append(rows, [6])
  expect(memory.banks.map(({ capacity }) => capacity)).toEqual([128])
  await check(0, 2)
  await program.dispose()
})

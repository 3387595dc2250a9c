// 500 experts one after the other: each is read from its file, registered, asked and unloaded.
// Memory after garbage collection does not grow.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import { type Adapter, loadAdapter, saveAdapter } from '../../adapters/index.ts'
import { createFileSink } from '../../node/files/file-sink.ts'
import { openDirectory } from '../../node/files/folder.ts'
import { createEngine } from '../create-engine.ts'
import { readAnswer } from './generate.ts'
import {
  countHeld,
  createExperts,
  createPrompt,
  openStories,
} from '../../../test/support/engine.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** 8 bytes for 5 layers, 4 key heads of width 8. */
const tokenBytes = 8 * 5 * 4 * 8

interface Usage {
  /** Bytes of objects and arrays., after garbage collection. */
  readonly kept: number
  /** Bytes of the process in memory. */
  readonly resident: number
}

async function measureUsage(): Promise<Usage> {
  for (let i = 0; i < 3; i++) {
    collectGarbage()
    await new Promise((done) => setTimeout(done, 1))
  }
  const { heapUsed, external, rss } = process.memoryUsage()
  return { kept: heapUsed + external, resident: rss }
}

const computeMedian = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!

it('500 loads and unloads leave memory as it was', { timeout: 600_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'graft-loading-'))
  const model = await openStories()
  try {
    const experts = await createExperts(model)
    const names = ['first', 'ia3', 'wide', 'dora']
    for (const name of names)
      await saveAdapter(experts[name] as Adapter, createFileSink(join(folder, name)))
    // The cache of prefixes is full early, so that its growth is not counted.
    const engine = createEngine({ model, pieceTokens: 32, kvBytes: 60 * 16 * tokenBytes })
    const usages: Usage[] = []
    for (let i = 0; i < 500; i++) {
      const adapter = await loadAdapter(await openDirectory(join(folder, names[i % 4]!)))
      const name = `expert ${i}`
      await engine.registerAdapter(name, adapter)
      const one = { prompt: createPrompt(20 + (i % 40), i), adapter: name, maxTokens: 3 }
      await Promise.all([readAnswer(engine, one), readAnswer(engine, one)])
      await engine.unloadAdapter(name)
      if (i % 5 === 4) usages.push(await measureUsage())
    }
    expect(countHeld(engine)).toEqual([0, 0, 0, 0])
    expect(engine.stats().experts).toMatchObject({
      names: 0,
      resident: 0,
      slotBytes: 0,
      coldBytes: 0,
    })
    const second = usages.slice(10, 20)
    const last = usages.slice(90)
    const compare = (part: keyof Usage): number => {
      const [before, after] = [second, last].map((list) => computeMedian(list.map((u) => u[part])))
      return after! / before!
    }
    expect(compare('kept')).toBeLessThan(1.02)
    // What the runtime's own allocator holds settles late.
    expect(compare('resident')).toBeLessThan(1.15)
  } finally {
    await model.dispose()
    rmSync(folder, { recursive: true })
  }
})

// Programs that share their weights in a file give the bits of programs that each hold their own.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { onnxBackend } from '../../../test/support/onnx.ts'
import {
  createSlotFeeds,
  createTinyAdapter,
  fillSlots,
  openTiny,
} from '../../../test/support/steps.ts'
import type { Backend } from '../../compute/backend.ts'
import type { Accuracy } from '../../compute/pack-linears.ts'
import type { PackedFiles } from '../../compute/packed-files.ts'
import { createProgramCompiler } from '../../runtime/programs/program-compiler.ts'
import { collectGroupFeeds, collectRankFeeds } from '../../runtime/programs/step/step-feeds.ts'
import { createStepPrograms } from '../../runtime/programs/step/step-programs.ts'
import {
  decodeRows,
  prefillRow,
  TestRows,
  toCacheShape,
} from '../../runtime/programs/step/testing.ts'
import { openPackedFiles } from './open-packed-files.ts'

let cache = ''
beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), 'graft-prepared-'))
})
afterAll(() => rm(cache, { recursive: true }))

const prompts = [4, 21, 9].map((length, row) =>
  Array.from({ length }, (_, t) => 3 + ((t * 37 + row * 101 + t * t) % 300)),
)

/** Sessions that are open at once, at most. */
function countSessions(backend: Backend): { backend: Backend; readonly opened: number } {
  let opened = 0
  return {
    backend: {
      ...backend,
      compile: (graph, options) => {
        opened++
        return backend.compile(graph, options)
      },
    },
    get opened() {
      return opened
    },
  }
}

async function runAll(name: string, accuracy: Accuracy, files?: PackedFiles) {
  const tiny = await openTiny(name, 'q4')
  const { base, weights, config } = tiny
  const counted = countSessions(onnxBackend)
  const compiler = createProgramCompiler({ weights, backend: counted.backend, files })
  const programs = createStepPrograms({ model: base.graph, weights, compiler })
  const adapters = [createTinyAdapter(tiny, 3, 1), createTinyAdapter(tiny, 5, 2)]
  const owners = [undefined, ...adapters].map((adapter) => createSlotFeeds(tiny, adapter))
  const rows = new TestRows(toCacheShape(config), owners.length, 64)
  const parts = { config, weights }
  const results: Float32Array[] = []
  for (const [row, feeds] of owners.entries()) {
    const form = row === 0 ? 'none' : 'shared'
    const prefill = await programs.prefill({ accuracy, form })
    const fed = form === 'none' ? [] : [...feeds, ...collectRankFeeds(feeds)]
    results.push(await prefillRow(parts, prefill, rows, row, prompts[row]!, { feeds: fed }))
  }
  const slots = fillSlots(tiny, 8, adapters)
  const { active, units } = slots
  const grouped = await programs.decode({ accuracy, form: 'grouped' })
  results.push(
    ...(await decodeRows(
      parts,
      grouped,
      rows,
      [40, 50, 60],
      [
        ...slots.groupedFeeds(0),
        ...collectGroupFeeds(0, { active, units, slots: [undefined, 0, 1] }),
      ],
    )),
  )
  const plain = await programs.decode({ accuracy })
  results.push(
    ...(await decodeRows(parts, plain, rows, [70, 80, 90])),
    ...rows.past.values().map(({ data }) => data),
  )
  const { count } = programs
  await programs.dispose()
  await base.weights.close()
  return { results, opened: counted.opened, count }
}

describe.each([
  ['llama', 'fast'],
  ['qwen2', 'fast'],
  ['qwen2', 'exact'],
  ['gemma3_text', 'fast'],
  ['qwen3', 'fast'],
  ['smollm3', 'exact'],
] as const)('%s, %s', (name, accuracy) => {
  it('gives the same bits, from one session', async () => {
    const apart = await runAll(name, accuracy)
    const { base } = await openTiny(name, 'q4')
    const files = await openPackedFiles({
      weights: base.weights,
      choice: 'q4',
      environment: { GRAFT_CACHE: cache },
      leastBytes: 0,
      leastSharedBytes: 0,
    })
    const together = await runAll(name, accuracy, files)
    expect(together.results).toEqual(apart.results)
    expect(apart.opened).toBe(4)
    expect(together.opened).toBe(0) // all in the group's own session
    expect(together.count).toBe(5)
    await files!.close()
    await base.weights.close()
  })
})

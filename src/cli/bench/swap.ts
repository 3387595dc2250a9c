// Times a change of expert: from a folder on disk until its first token can use it, and between two
// experts in memory. 4-bit base of the SmolLM2-135M shape, LoRA r16 on all linears (20 MB). The
// reference is PEFT's load_adapter and set_adapter.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadAdapter, saveAdapter } from '../../node/adapters.ts'
import { createNodeBackend } from '../../node/backend.ts'
import { createModel, type Model } from '../../runtime/index.ts'
import {
  toBenchmarkRow,
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
} from './benchmark.ts'
import { runPythonReference } from './reference.ts'
import { createSyntheticAdapter, createSyntheticBase } from './synthetic.ts'

const prompt = [100, 137, 174]

async function measureSeconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}

/**
 * From the folder to tensors that a run is fed with; the files are in the system's cache, as PEFT's
 * are.
 */
async function measureLoads(model: Model, folder: string, runs: number): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i <= runs; i++) {
    const time = await measureSeconds(async () => model.prepare(await loadAdapter(folder)))
    if (i > 0) times.push(time) // the first compiles
  }
  return times
}

/**
 * How long it takes until the other resident expert is what the next token is computed with; a
 * token is written after each change.
 */
async function measureSwitches(model: Model, folder: string, runs: number): Promise<number[]> {
  const residents = [await loadAdapter(folder), await loadAdapter(folder)]
  for (const adapter of residents) await model.prepare(adapter)
  const times: number[] = []
  for (let i = 0; i < runs; i++) {
    const adapter = residents[i % 2]
    times.push(await measureSeconds(() => model.prepare(adapter)))
    await model.generateBatch([prompt], { adapter, maxTokens: 1 })
  }
  return times
}

async function* measureSwaps(context: BenchmarkContext): AsyncIterable<BenchmarkRow> {
  const base = createSyntheticBase('q4_0')
  const folder = await mkdtemp(join(tmpdir(), 'graft-swap-'))
  const model = createModel({ base, backend: await createNodeBackend() })
  try {
    await saveAdapter(createSyntheticAdapter(base), folder)
    context.progress('swap: our first half')
    await model.prepare(undefined)
    const first = {
      load: await measureLoads(model, folder, 4),
      change: await measureSwitches(model, folder, 8),
    }
    const reference = await runPythonReference('peft_merge.py', [], context)
    context.progress('swap: our second half')
    const second = {
      load: await measureLoads(model, folder, 4),
      change: await measureSwitches(model, folder, 8),
    }
    const valuesOf = (name: string) =>
      reference.filter((line) => line.name === name).map((line) => Number(line['seconds']))
    yield toBenchmarkRow({
      name: 'swap: 20 MB adapter, from disk until usable',
      unit: 'seconds',
      higherIsBetter: false,
      goal: 9,
      ours: [...first.load, ...second.load],
      reference: { name: 'PEFT load_adapter', values: valuesOf('peft load_adapter') },
    })
    yield toBenchmarkRow({
      name: 'swap: to another resident adapter',
      unit: 'seconds',
      higherIsBetter: false,
      goal: 25,
      ours: [...first.change, ...second.change],
      reference: { name: 'PEFT set_adapter', values: valuesOf('peft set_adapter') },
    })
  } finally {
    await model.dispose()
    await rm(folder, { recursive: true, force: true })
  }
}

export const swapBenchmark: Benchmark = {
  name: 'swap',
  summary:
    'changing the expert: a 20 MB adapter from disk until its first token may use it, and between resident ones; against PEFT',
  needs: 'GRAFT_BENCH_PYTHON: a Python with torch, transformers and peft',
  run: measureSwaps,
}

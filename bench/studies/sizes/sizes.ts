// What models of 0.1 to 7 billion parameters cost: first token when a model is opened for the first
// time and later, peak memory, reading, writing, ten experts, training. Each figure is of a process
// of its own; llama.cpp runs between two of ours.

import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  toBenchmarkRow,
} from '../../../src/cli/bench/benchmark.ts'
import { runLlamaReference } from '../../../src/cli/bench/reference.ts'
import { getCacheDirectory } from '../../../src/node/models/cache.ts'
import { resolveModel } from '../../../src/node/models/resolve.ts'
import { shapes, writeShape } from './shapes.ts'

const run = promisify(execFile)
const script = new URL('./measure-model.ts', import.meta.url).pathname
const usualChoice = '0.1B,1.1B,2.8B'

type Figures = Readonly<Record<string, number>>

/** One process; `cache` is where it finds prepared files. */
async function measure(path: string, what: string, cache: string): Promise<Figures> {
  const { stdout } = await run(process.execPath, [script, path, what], {
    env: { ...process.env, GRAFT_CACHE: cache },
    maxBuffer: 1 << 26,
  })
  const { name: _name, ...figures } = JSON.parse(stdout.trim().split('\n').at(-1)!) as Figures
  return figures
}

interface Side {
  readonly figures: readonly Figures[]
  readonly reference: readonly Figures[]
}

function toRow(
  name: string,
  figure: string,
  { figures, reference }: Side,
  scale = 1,
): BenchmarkRow {
  const pick = (all: readonly Figures[]): number[] =>
    all.flatMap((one) => (one[figure] === undefined ? [] : [one[figure] * scale]))
  const isSpeed = ['prefill', 'decode'].includes(figure)
  const values = pick(reference)
  return toBenchmarkRow({
    name,
    unit: isSpeed ? 'tokens/s' : figure === 'peakBytes' ? 'GB' : 'seconds',
    higherIsBetter: isSpeed,
    ours: pick(figures),
    reference: values.length > 0 ? { name: 'llama.cpp', values } : undefined,
  })
}

/** Opening, reading and writing, beside llama.cpp. */
async function* compareText(
  name: string,
  path: string,
  cache: string,
  context: BenchmarkContext,
): AsyncGenerator<BenchmarkRow> {
  context.progress(`${name}: opened for the first time`)
  const first = await measure(path, 'text', cache)
  const reference = (await runLlamaReference(
    'llamacpp_sizes.mjs',
    [path],
    context,
  )) as unknown as Figures[]
  context.progress(`${name}: opened again`)
  const later = [await measure(path, 'text', cache), await measure(path, 'text', cache)]
  yield toRow(`${name}: first token, first time`, 'firstTokenSeconds', {
    figures: [first],
    reference,
  })
  yield toRow(`${name}: first token, later`, 'firstTokenSeconds', { figures: later, reference })
  yield toRow(`${name}: peak, first time`, 'peakBytes', { figures: [first], reference }, 1e-9)
  yield toRow(`${name}: peak, later`, 'peakBytes', { figures: later, reference }, 1e-9)
  const all = [first, ...later]
  yield toRow(`${name}: prefill 256`, 'prefill', { figures: all, reference })
  yield toRow(`${name}: decode after 256`, 'decode', { figures: all, reference })
}

/** Rows of one figure without a reference: its speed, and the peak as a note. */
async function measureAlone(
  name: string,
  path: string,
  what: string,
  cache: string,
  context: BenchmarkContext,
): Promise<BenchmarkRow> {
  context.progress(`${name}: ${what}`)
  const figures = await measure(path, what, cache)
  const speed = what === 'experts' ? 'expertTokensPerSecond' : 'trainTokensPerSecond'
  return toBenchmarkRow({
    name: `${name}: ${what}`,
    unit: 'tokens/s',
    higherIsBetter: true,
    ours: [figures[speed]!],
    note: `peak ${(figures['peakBytes']! / 1e9).toFixed(2)} GB`,
    figures,
  })
}

/** What is measured beside text, by size. */
const alone: Readonly<Record<string, readonly string[]>> = {
  '0.1B': ['experts'],
  '1.1B': ['experts', 'nf4', 'f32'],
  '2.8B': ['experts'],
  '7B': ['experts', 'qlora'],
}

async function findModel(name: string, folder: string): Promise<string> {
  const shape = shapes.find((one) => one.name === name)
  if (shape) return writeShape(shape, folder)
  const source = await resolveModel('smollm2-135m-instruct:q4_1')
  if (!('gguf' in source)) throw new Error('SmolLM2 is no GGUF file')
  await source.gguf.close?.()
  return source.gguf.name
}

export const sizes: Benchmark = {
  name: 'sizes',
  summary:
    'models of 0.1 to 7 billion parameters: first token, peak, reading, writing, experts, training',
  needs: `GRAFT_BENCH_LLAMA: a folder with node-llama-cpp 3.22.1. GRAFT_BENCH_SIZES: which (${usualChoice}; also 7B); GRAFT_BENCH_PARTS: text, alone or both`,
  async *run(context) {
    const { environment } = context
    const names = (environment['GRAFT_BENCH_SIZES'] ?? usualChoice).split(',')
    const parts = environment['GRAFT_BENCH_PARTS'] ?? 'both'
    const folder = join(getCacheDirectory(environment), 'bench')
    for (const name of names) {
      context.progress(`${name}: writing the model`)
      const path = await findModel(name, folder)
      // of its own, so that the first opening finds no prepared file
      const cache = await mkdtemp(join(tmpdir(), 'graft-sizes-'))
      try {
        if (parts !== 'alone') yield* compareText(name, path, cache, context)
        if (parts !== 'text')
          for (const what of alone[name] ?? [])
            yield await measureAlone(name, path, what, cache, context)
      } finally {
        await rm(cache, { recursive: true, force: true })
      }
    }
  },
}

// What models of 0.1 to 7 billion parameters cost: first token when a model is opened for the first
// time and later, peak memory, reading, writing, ten experts, training. Each figure is from a
// separate process; llama.cpp runs between two of ours.

import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
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
import { runLlamaReference, runPythonReference } from '../../../src/cli/bench/reference.ts'
import { getCacheDirectory } from '../../../src/node/models/cache.ts'
import { resolveModel } from '../../../src/node/models/resolve.ts'
import { shapes, writeShape } from './shapes.ts'

const run = promisify(execFile)
const script = new URL('./measure-model.ts', import.meta.url).pathname
const usualChoice = '0.1B,1.1B,2.8B'

type Figures = Readonly<Record<string, number>>

const root = new URL('../../../', import.meta.url).pathname
const builtMain = join(root, 'dist/cli/main.js')

/** Seconds from the command to the first text, as a user sees it: the built program where it is. */
async function measureFirstToken(path: string, cache: string): Promise<Figures> {
  const main = existsSync(builtMain) ? builtMain : join(root, 'src/cli/main.ts')
  const started = performance.now()
  const child = spawn(
    process.execPath,
    [main, 'run', 'Hello', '--model', path, '--max-tokens', '1'],
    { env: toEnvironment(cache), stdio: ['ignore', 'pipe', 'ignore'] },
  )
  const ended = new Promise((resolve) => child.once('close', resolve))
  await new Promise((resolve) => child.stdout.once('data', resolve))
  const firstTokenSeconds = (performance.now() - started) / 1000
  await ended
  return { firstTokenSeconds }
}

/** Without what this program sets for itself: each measured one chooses for itself. */
function toEnvironment(cache: string): NodeJS.ProcessEnv {
  const { NODE_COMPILE_CACHE: _own, ...environment } = process.env
  return Object.assign(environment, { GRAFT_CACHE: cache })
}

/** One process; `cache` is where it finds prepared files. */
async function measure(path: string, what: string, cache: string): Promise<Figures> {
  const { stdout } = await run(process.execPath, [script, path, what], {
    env: toEnvironment(cache),
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
    unit: isSpeed ? 'tokens/s' : figure.endsWith('Bytes') ? 'GB' : 'seconds',
    higherIsBetter: isSpeed,
    ours: pick(figures),
    reference: values.length > 0 ? { name: 'llama.cpp', values } : undefined,
  })
}

/** Opening, prefill and decoding, against llama.cpp. */
async function* compareText(
  name: string,
  path: string,
  cache: string,
  context: BenchmarkContext,
): AsyncGenerator<BenchmarkRow> {
  if (!existsSync(builtMain))
    context.progress(
      'dist/ is not built: first tokens count what removing types from sources takes',
    )
  context.progress(`${name}: opened for the first time`)
  const opened = [await measureFirstToken(path, cache)]
  await clearPrepared(cache)
  const first = await measure(path, 'text', cache)
  const reference = (await runLlamaReference(
    'llamacpp_sizes.mjs',
    [path],
    context,
  )) as unknown as Figures[]
  context.progress(`${name}: opened again`)
  const later: Figures[] = []
  const again: Figures[] = []
  const repeats = name === '7B' ? { text: 1, first: 2 } : { text: 2, first: 3 }
  for (let i = 0; i < repeats.text; i++) later.push(await measure(path, 'text', cache))
  for (let i = 0; i < repeats.first; i++) again.push(await measureFirstToken(path, cache))
  yield toRow(`${name}: first token, first time`, 'firstTokenSeconds', {
    figures: opened,
    reference,
  })
  yield toRow(`${name}: first token, later`, 'firstTokenSeconds', { figures: again, reference })
  yield toRow(`${name}: peak, first time`, 'peakBytes', { figures: [first], reference }, 1e-9)
  yield toRow(`${name}: peak, later`, 'peakBytes', { figures: later, reference }, 1e-9)
  const all = [first, ...later]
  yield toRow(`${name}: of it pages of files`, 'filePeakBytes', { figures: all, reference }, 1e-9)
  yield toRow(`${name}: prefill 256`, 'prefill', { figures: all, reference })
  yield toRow(`${name}: decode after 256`, 'decode', { figures: all, reference })
}

const clearPrepared = (cache: string): Promise<void> =>
  rm(join(cache, 'prepared'), { recursive: true, force: true })

/** SmolLM2's. */
const smallShape = '576,30,9,3,1536'

/** A step of PEFT's LoRA in f32 over the same shape. */
async function measurePeft(
  name: string,
  tokens: string,
  context: BenchmarkContext,
): Promise<Figures[]> {
  const shape = shapes.find((one) => one.name === name)
  const dims = shape
    ? [shape.width, shape.layers, shape.heads, shape.kvHeads, shape.feedForward].join(',')
    : smallShape
  const size = ['--batch', '1', '--tokens', tokens, '--steps', '2', '--shape', dims]
  const lines = await runPythonReference('peft_train.py', ['f32', ...size], context)
  return lines as unknown as Figures[]
}

const speeds: Readonly<Record<string, string>> = {
  text: 'prefill',
  experts: 'expertTokensPerSecond',
}

/** One figure: its speed, and the peak as a note. Training in f32 stands beside PEFT's. */
async function measureAlone(
  name: string,
  path: string,
  what: string,
  cache: string,
  context: BenchmarkContext,
): Promise<BenchmarkRow> {
  context.progress(`${name}: ${what}`)
  const figures = await measure(path, what, cache)
  const [form, tokens = '128'] = what.split('-')
  const peft = form === 'f32' ? await measurePeft(name, tokens, context) : []
  const speed = speeds[form!] ?? 'trainTokensPerSecond'
  const peaks = [
    figures['peakBytes']! / 1e9,
    ...peft.map(({ peakMiB = 0 }) => (peakMiB * 2 ** 20) / 1e9),
  ]
  const values = peft.map(({ tokensPerSecond = 0 }) => tokensPerSecond)
  return toBenchmarkRow({
    name: `${name}: ${what}`,
    unit: 'tokens/s',
    higherIsBetter: true,
    ours: [figures[speed]!],
    reference: values.length > 0 ? { name: 'PEFT', values } : undefined,
    note: `peak ${peaks.map((peak) => peak.toFixed(2)).join(' against ')} GB, of ours ${(figures['filePeakBytes']! / 1e9).toFixed(2)} pages of files`,
    figures,
  })
}

/** The measurements other than text, by size. */
const alone: Readonly<Record<string, readonly string[]>> = {
  '0.1B': ['experts', 'f32', 'f32-512'],
  '1.1B': ['text-int8', 'experts', 'nf4', 'f32', 'nf4-512', 'f32-512'],
  '2.8B': ['experts'],
  '7B': ['experts-f16', 'qlora'],
}

const isWanted = (parts: readonly string[], what: string): boolean =>
  ['alone', 'both', what].some((part) => parts.includes(part))

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
  needs: `GRAFT_BENCH_LLAMA: a folder with node-llama-cpp 3.22.1. GRAFT_BENCH_PYTHON: a Python with PEFT. GRAFT_BENCH_SIZES: which (${usualChoice}; also 7B); GRAFT_BENCH_PARTS: text, alone, both, or one such as nf4`,
  async *run(context) {
    const { environment } = context
    const names = (environment['GRAFT_BENCH_SIZES'] ?? usualChoice).split(',')
    const parts = environment['GRAFT_BENCH_PARTS'] ?? 'both'
    const folder = join(getCacheDirectory(environment), 'bench')
    for (const name of names) {
      context.progress(`${name}: writing the model`)
      const path = await findModel(name, folder)
      // a separate one, so that the first opening finds no prepared file
      const cache = await mkdtemp(join(tmpdir(), 'graft-sizes-'))
      try {
        const wanted = parts.split(',')
        if (wanted.includes('text') || parts === 'both')
          yield* compareText(name, path, cache, context)
        for (const what of (alone[name] ?? []).filter((one) => isWanted(wanted, one)))
          yield await measureAlone(name, path, what, cache, context)
      } finally {
        await rm(cache, { recursive: true, force: true })
      }
    }
  },
}

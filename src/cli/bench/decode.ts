// Reads a prompt of 256 tokens and generates after it: 4-bit base, LoRA r16 on all linears. The
// reference is llama.cpp, run between the two halves of our runs.

import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Adapter } from '../../adapters/index.ts'
import { createNodeBackend } from '../../node/backend.ts'
import { createModel } from '../../runtime/index.ts'
import { toBenchmarkRow, type Benchmark, type BenchmarkContext } from './benchmark.ts'
import { writeLlamaFiles, type LlamaFiles } from './gguf-files.ts'
import { runLlamaReference } from './reference.ts'
import { createSyntheticAdapter, createSyntheticBase } from './synthetic.ts'

const promptTokens = 256
const newTokens = 96
const prompt = Array.from({ length: promptTokens }, (_, i) => 100 + ((i * 37) % 20000))

interface Speeds {
  readonly prefill: number[]
  readonly decode: number[]
}

/**
 * Tokens a second of reading and of writing, several times. The first run compiles and is left out.
 */
async function measureGraft(
  dtype: 'q4_0' | 'q4_1',
  withAdapter: boolean,
  runs: number,
): Promise<Speeds> {
  const base = createSyntheticBase(dtype)
  const model = createModel({ base, backend: await createNodeBackend() })
  const adapter: Adapter | undefined = withAdapter ? createSyntheticAdapter(base) : undefined
  const speeds: Speeds = { prefill: [], decode: [] }
  for (let i = 0; i <= runs; i++) {
    for await (const event of model.generate(prompt, {
      adapter,
      maxTokens: newTokens,
      minTokens: newTokens,
    })) {
      if (event.type !== 'generation-end' || i === 0) continue
      speeds.prefill.push((promptTokens * 1000) / event.promptMs)
      speeds.decode.push(event.tokensPerSecond)
    }
  }
  await model.dispose()
  return speeds
}

// its speed of writing differs by a factor of two from run to run on a shared machine
const referenceRuns = 3

async function measureLlama(
  model: string,
  files: LlamaFiles | undefined,
  context: BenchmarkContext,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const speeds = new Map<string, number[]>()
  if (!files) return speeds
  for (let run = 0; run < referenceRuns; run++) {
    for (const { name, tokensPerSecond } of await runLlamaReference(
      'llamacpp_decode.mjs',
      [model, files.lora],
      context,
    )) {
      speeds.set(name, [...(speeds.get(name) ?? []), Number(tokensPerSecond)])
    }
  }
  return speeds
}

const goals = {
  q4_0: { prefill: 0.95, decode: 1.8 },
  q4_1: { prefill: 3, decode: 1.8 },
}

async function* compareDecoding(
  dtype: 'q4_0' | 'q4_1',
  files: LlamaFiles | undefined,
  context: BenchmarkContext,
) {
  context.progress(`decode ${dtype}: our first half`)
  const first = await measureGraft(dtype, true, 2)
  const reference = await measureLlama(files?.[dtype] ?? '', files, context)
  context.progress(`decode ${dtype}: our second half`)
  const second = await measureGraft(dtype, true, 2)
  for (const what of ['prefill', 'decode'] as const) {
    const speeds = reference.get(
      what === 'prefill' ? 'llama.cpp prefill 256 lora' : 'llama.cpp decode lora',
    )
    yield toBenchmarkRow({
      name: `${what === 'prefill' ? 'prefill 256' : 'decode after 256'}, LoRA r16, ${dtype.toUpperCase()}`,
      unit: 'tokens/s',
      higherIsBetter: true,
      goal: goals[dtype][what],
      ours: [...first[what], ...second[what]],
      reference: speeds && { name: `llama.cpp ${dtype.toUpperCase()}`, values: speeds },
    })
  }
}

export const decodeBenchmark: Benchmark = {
  name: 'decode',
  summary:
    'reading 256 tokens and writing on, 4-bit 135M model with LoRA r16: tokens per second, compared with llama.cpp',
  needs: 'GRAFT_BENCH_LLAMA: a folder with node-llama-cpp 3.22.1; the model smollm2-135m-instruct',
  async *run(context) {
    let files: LlamaFiles | undefined
    if (context.environment['GRAFT_BENCH_LLAMA']) {
      context.progress('writing files for llama.cpp')
      const base = createSyntheticBase('f32')
      files = await writeLlamaFiles(createSyntheticAdapter(base), base.graph)
    }
    try {
      yield* compareDecoding('q4_0', files, context)
      yield* compareDecoding('q4_1', files, context)
    } finally {
      if (files) await rm(dirname(files.lora), { recursive: true, force: true })
    }
  },
}

// llama.cpp's side of the engine's benchmark, through node-llama-cpp.

import { copyFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { BenchmarkContext } from '../benchmark.ts'
import { writeLlamaFiles } from '../gguf-files.ts'
import { runLlamaReference } from '../reference.ts'
import { createSyntheticAdapter, createSyntheticBase } from '../synthetic.ts'

const rounds = 3

/** Tokens of a prompt before decoding starts. */
export const contexts = [2048, 4096, 7900]

export interface LlamaSpeeds {
  /** Prompt and new tokens a second of ten requests, one after the other, an adapter each. */
  readonly totals: readonly number[]
  /** Writing behind each of the contexts. */
  readonly behind: ReadonlyMap<number, readonly number[]>
}

export async function measureLlama(context: BenchmarkContext): Promise<LlamaSpeeds> {
  const totals: number[] = []
  const behind = new Map<number, number[]>()
  if (!context.environment['GRAFT_BENCH_LLAMA']) return { totals, behind }
  const base = createSyntheticBase('f32')
  const files = await writeLlamaFiles(createSyntheticAdapter(base), base.graph)
  const run = async (script: string, args: readonly string[]) =>
    new Map(
      (await runLlamaReference(script, args, context)).map(
        ({ name, tokensPerSecond }) => [name, Number(tokensPerSecond)] as const,
      ),
    )
  try {
    const adapters = Array.from({ length: 10 }, (_, i) => join(dirname(files.lora), `${i}.gguf`))
    for (const path of adapters) await copyFile(files.lora, path)
    for (let round = 0; round < rounds; round++) {
      const speeds = await run('llamacpp_requests.mjs', [files.q4_0, ...adapters])
      const total = speeds.get('llama.cpp requests')
      if (total !== undefined) totals.push(total)
    }
    const long = await run('llamacpp_contexts.mjs', [files.q4_0, ...contexts.map(String)])
    for (const length of contexts) {
      const speed = long.get(`llama.cpp decode behind ${length}`)
      if (speed !== undefined) behind.set(length, [speed])
    }
  } finally {
    await rm(dirname(files.lora), { recursive: true, force: true })
  }
  return { totals, behind }
}

// Workloads of the engine on the SmolLM2-135M shape: requests of 256 + 64 tokens that start
// together, or arrive and end over time. Independent of what they are compared with.

import type { Adapter } from '../../../adapters/index.ts'
import type { Engine, EngineRequest, Model } from '../../../runtime/index.ts'
import { createEngine } from '../../../runtime/index.ts'

export const promptTokens = 256
export const newTokens = 64

let salt = 0
/** A prompt without a prefix in common with earlier ones, so that nothing comes from the cache. */
export const createFreshPrompt = (length = promptTokens): number[] =>
  Array.from({ length }, (_, i) => 100 + ((i * 37 + ++salt * 101) % 20_000))

async function answer(engine: Engine, request: EngineRequest): Promise<void> {
  for await (const _ of engine.generate(request));
}

const createRequest = (adapter: Adapter | undefined): EngineRequest => ({
  prompt: createFreshPrompt(),
  adapter,
  maxTokens: newTokens,
  minTokens: newTokens,
})

/** Prompt and new tokens per second, of requests that start together. */
export async function measureTogether(
  engine: Engine,
  experts: readonly (Adapter | undefined)[],
): Promise<number> {
  const started = performance.now()
  await Promise.all(experts.map((expert) => answer(engine, createRequest(expert))))
  return (experts.length * (promptTokens + newTokens) * 1000) / (performance.now() - started)
}

/** The same where each client asks twice, and answers have different lengths. */
export async function measureComingAndGoing(
  engine: Engine,
  experts: readonly (Adapter | undefined)[],
): Promise<number> {
  const lengths = experts.map((_, i) => [newTokens - 4 * (i % 8), newTokens - 28 + 4 * (i % 8)])
  const started = performance.now()
  await Promise.all(
    experts.map(async (adapter, i) => {
      for (const maxTokens of lengths[i]!)
        await answer(engine, { ...createRequest(adapter), maxTokens, minTokens: maxTokens })
    }),
  )
  const written = lengths.flat().reduce((sum, length) => sum + length, 0)
  const tokens = written + 2 * experts.length * promptTokens
  return (tokens * 1000) / (performance.now() - started)
}

/** Milliseconds from the request to the first token. */
export async function measureFirstToken(
  engine: Engine,
  prompt: readonly number[],
  adapter: Adapter | undefined,
): Promise<number> {
  const started = performance.now()
  await answer(engine, { prompt, adapter, maxTokens: 1 })
  return performance.now() - started
}

/** Tokens per second of one sequence after a long prompt. */
export async function measureLongContext(engine: Engine, length: number): Promise<number> {
  let speed = 0
  const request = { prompt: createFreshPrompt(length), maxTokens: 48, minTokens: 48, cache: false }
  for await (const event of engine.generate(request))
    if (event.type === 'generation-end') speed = event.tokensPerSecond
  return speed
}

/** Runs work with its own engine. */
export async function withEngine<Result>(
  model: Model,
  options: Omit<Parameters<typeof createEngine>[0], 'model'>,
  work: (engine: Engine) => Promise<Result>,
): Promise<Result> {
  const engine = createEngine({ ...options, model })
  try {
    return await work(engine)
  } finally {
    await engine.dispose()
  }
}

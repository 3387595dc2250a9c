// A process that opens one model, measures, prints one line of JSON and ends: node measure-model.ts
// <model> <'text' | 'experts' | 'nf4' | 'f32' | 'qlora'>; nf4-512 learns 512 tokens in a step,
// experts-f16 keeps keys and values in 16 bits, experts-f16-all has all experts in slots at once,
// text-int8 reads prompts by products in 8 bits.

import { initializeAdapter } from '../../../src/adapters/create-adapter.ts'
import { createEngine, loadModel, type LoadedModel } from '../../../src/node/index.ts'
import { train } from '../../../src/train/index.ts'
import { trackMemory } from './track-memory.ts'

const [path, what] = process.argv.slice(2) as [string, string]
const promptTokens = 256
const newTokens = 96
const experts = 10
const expertConfig = { rank: 16, targets: 'all-linear', start: 'random' }
const expertTokens = 64

const createIds = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, i) => 100 + ((i * 37 + seed * 101) % 20_000))

async function measureText(model: LoadedModel, settings: readonly string[]) {
  const products = settings.includes('int8') ? 'int8' : 'same'
  const engine = createEngine({ model, promptProducts: products })
  let speeds = {}
  for (const seed of [2, 3])
    for await (const event of engine.generate({
      prompt: createIds(promptTokens, seed),
      maxTokens: newTokens,
      minTokens: newTokens,
    }))
      if (event.type === 'generation-end')
        speeds = {
          prefill: (promptTokens * 1000) / event.promptMs,
          decode: event.tokensPerSecond,
        }
  return speeds
}

/**
 * Ten requests at once, each with an expert of its own: 256 tokens read and 64 written. The experts
 * are registered one by one and kept in 8 bits beside their slots, as a server keeps them: in f32
 * those of a 7 B model are 1.7 GB.
 */
async function measureExperts(model: LoadedModel, settings: readonly string[]) {
  const engine = createEngine({
    model,
    cold: 'int8',
    kvElement: settings.includes('f16') ? 'f16' : 'f32',
    ...(settings.includes('all') ? { expertBytes: 2 ** 31 } : {}),
  })
  const register = async (seed: number): Promise<void> => {
    const adapter = initializeAdapter('lora', expertConfig, model.base.graph, { seed })
    await engine.registerAdapter(`expert ${seed}`, adapter)
  }
  const ask = async (seed: number, tokens: number): Promise<void> => {
    const asked = { maxTokens: tokens, minTokens: tokens, adapter: `expert ${seed}` }
    for await (const event of engine.generate({ ...asked, prompt: createIds(promptTokens, seed) }))
      void event
  }
  await register(0)
  await ask(0, 1) // opens the model
  for (let seed = 1; seed < experts; seed++) await register(seed)
  const started = performance.now()
  await Promise.all(Array.from({ length: experts }, (_, seed) => ask(seed, expertTokens)))
  const seconds = (performance.now() - started) / 1000
  return { expertTokensPerSecond: (experts * expertTokens) / seconds, seconds }
}

/** Two steps of one row. */
async function measureTraining(model: LoadedModel, form: string, tokens: number) {
  const rowIds = [1, 2].map((seed) => Int32Array.from(createIds(tokens, seed)))
  const rows = rowIds.map((ids) => ({ ids, weights: new Float32Array(ids.length).fill(1) }))
  const run = train({
    model,
    steps: 2,
    batch: { rows: 1, tokens },
    adapter: { kind: 'lora', config: { rank: 16, targets: 'all-linear' } },
    data: { name: 'rows', format: 'text', examples: rows.length, cut: 0, dropped: 0, rows },
    ...(form === 'f32' ? {} : { quantization: 'nf4' }),
    ...(form === 'qlora' ? { checkpointing: true } : {}),
  })
  const times: number[] = []
  for await (const event of run) if (event.type === 'step-end') times.push(performance.now())
  const stepSeconds = (times[1]! - times[0]!) / 1000
  return { trainTokensPerSecond: tokens / stepSeconds, stepSeconds }
}

const [form, ...settings] = what.split('-') as [string, ...string[]]
const endTracking = trackMemory()
const model = await loadModel(path)
const measured =
  form === 'text'
    ? await measureText(model, settings)
    : form === 'experts'
      ? await measureExperts(model, settings)
      : await measureTraining(model, form, Number(settings[0] ?? 128))
const peakBytes = process.resourceUsage().maxRSS * 1024
const filePeakBytes = (await endTracking())?.fileBytes
await model.dispose()
process.stdout.write(`${JSON.stringify({ name: what, peakBytes, filePeakBytes, ...measured })}\n`)
process.exit(0)

// A process that opens one model, measures, prints one line of JSON and ends: node measure-model.ts
// <model> <'text' | 'experts' | 'nf4' | 'f32' | 'qlora'>; nf4-512 learns 512 tokens in a step.

import { initializeAdapter } from '../../../src/adapters/create-adapter.ts'
import { packAdapter } from '../../../src/adapters/packed/pack-adapter.ts'
import { createEngine, loadModel, type LoadedModel } from '../../../src/node/index.ts'
import { train } from '../../../src/train/index.ts'

const [path, what] = process.argv.slice(2) as [string, string]
const promptTokens = 256
const newTokens = 96
const experts = 10
const expertConfig = { rank: 16, targets: 'all-linear', start: 'random' }
const expertTokens = 64

const createIds = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, i) => 100 + ((i * 37 + seed * 101) % 20_000))

async function measureText(model: LoadedModel) {
  let speeds = {}
  for (const seed of [2, 3])
    for await (const event of model.generate(createIds(promptTokens, seed), {
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

/** Ten requests at once, each with an expert of its own: 256 tokens read and 64 written. */
async function measureExperts(model: LoadedModel) {
  // In 8 bits beside their slots: in f32 those of a 7 B model are 1.7 GB.
  const adapters = Array.from({ length: experts }, (_, seed) =>
    packAdapter(initializeAdapter('lora', expertConfig, model.base.graph, { seed }), { bits: 8 }),
  )
  // all of them in their slots at once
  const engine = createEngine({ model, expertBytes: 2 ** 31 })
  const started = performance.now()
  await Promise.all(
    adapters.map(async (adapter, seed) => {
      const prompt = createIds(promptTokens, seed)
      const request = { prompt, adapter, maxTokens: expertTokens, minTokens: expertTokens }
      for await (const event of engine.generate(request)) void event
    }),
  )
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

const [form, tokens = '128'] = what.split('-') as [string, string?]
const model = await loadModel(path)
const measured =
  what === 'text'
    ? await measureText(model)
    : what === 'experts'
      ? await measureExperts(model)
      : await measureTraining(model, form, Number(tokens))
const peakBytes = process.resourceUsage().maxRSS * 1024
await model.dispose()
process.stdout.write(`${JSON.stringify({ name: what, peakBytes, ...measured })}\n`)
process.exit(0)

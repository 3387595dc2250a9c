// Experts for tasks without a language model, from nothing to run-time adaptation: node
// examples/task-specific-adapters.ts In a project of your own, import from 'graftlm/adapters',
// 'graftlm/train', 'graftlm/merge' and 'graftlm/node'.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Adapter,
  createRole,
  HotSwap,
  createStandaloneForward,
  type StandaloneForward,
} from '../src/adapters/index.ts'
import { merge } from '../src/merge/index.ts'
import { loadAdapter, saveAdapter } from '../src/node/adapters.ts'
import {
  hashDataset,
  type EmbeddingDataset,
  joinDatasets,
  selectExamples,
  splitDataset,
  SyntheticDataGenerator,
  trainStandalone,
  type StandaloneOptions,
} from '../src/train/index.ts'

const width = 768
const rows: [step: string, milliseconds: string, what: string][] = []

async function step<Result>(
  name: string,
  work: () => Promise<Result> | Result,
  say: (result: Result) => string,
): Promise<Result> {
  const start = performance.now()
  const result = await work()
  rows.push([name, (performance.now() - start).toFixed(1), say(result)])
  return result
}

async function train(options: StandaloneOptions): Promise<{ adapter: Adapter; loss: number }> {
  for await (const event of trainStandalone(options))
    if (event.type === 'train-end') return { adapter: event.adapter, loss: event.best.loss }
  throw new Error('training ended without a result')
}

/** Mean squared error over a data set. */
function errorOf(forward: StandaloneForward, { inputs, targets }: EmbeddingDataset): number {
  const y = forward(inputs)
  return y.reduce((sum, value, i) => sum + (value - targets[i]!) ** 2, 0) / y.length
}

const formatError = (value: number): string => value.toFixed(4)

const generator = new SyntheticDataGenerator(width, 42)
const fresh = await step(
  'create',
  () => createRole('coder', width, { seed: 1 }),
  ({ tensors }) => `coder, ${tensors.size} tensors`,
)
const data = await step(
  '1,000 examples',
  () => generator.generate('coder', 1000),
  ({ quality }) => `width ${width}, best quality ${Math.max(...quality).toFixed(2)}`,
)
const parts = await step(
  'split',
  () => splitDataset(data, { seed: 1 }),
  ({ train: kept, validation }) =>
    `${kept.quality.length} to learn from, ${validation.quality.length} held back`,
)

const coder = await step(
  'train quick',
  () => train({ adapter: fresh, data: parts.train, validation: parts.validation, preset: 'quick' }),
  ({ loss }) => `validation loss ${formatError(loss)}`,
)
const forward = createStandaloneForward(coder.adapter, width)
await step(
  'forward',
  () => errorOf(forward, parts.validation),
  (error) =>
    `error ${formatError(error)}, without the adapter ${formatError(errorOf((x) => x, parts.validation))}`,
)

const reviews = generator.generate('reviewer', 1000)
const reviewer = await step(
  'train another',
  () => train({ adapter: createRole('reviewer', width), data: reviews, preset: 'quick' }),
  ({ loss }) => `reviewer, loss ${formatError(loss)}`,
)
const mixed = await step(
  'merge 0.7 / 0.3',
  () => merge([coder.adapter, reviewer.adapter], { method: 'weighted', weights: [0.7, 0.3] }),
  (adapter) => `rank ${(adapter.config as { rank?: number }).rank}`,
)

const swap = new HotSwap(forward)
const begun = swap.run(async (active) => {
  await new Promise((resolve) => setTimeout(resolve, 5)) // the swap happens meanwhile
  return errorOf(active, parts.validation)
})
await swap.prepare(createStandaloneForward(mixed, width))
await step(
  'swap',
  () => void swap.swap(),
  () => `a pass is still running on the old one: ${swap.isSwapping}`,
)
const before = await begun
const after = await swap.run((active) => errorOf(active, parts.validation))
rows.push(['', '', `begun before: ${formatError(before)}, begun after: ${formatError(after)}`])
await step(
  'roll back',
  () => swap.rollBack(),
  () => `the coder again: ${swap.active === forward}`,
)

const folder = await mkdtemp(join(tmpdir(), 'graft-example-'))
await step(
  'save',
  () => saveAdapter(coder.adapter, folder),
  () => 'as PEFT saves adapters',
)
const loaded = await step(
  'load',
  () => loadAdapter(folder),
  ({ metadata }) => `${metadata?.['name']}: ${metadata?.['tags']}`,
)
await rm(folder, { recursive: true })
if (loaded.metadata?.['data_sha256'] !== (await hashDataset(parts.train)))
  throw new Error('the adapter does not know its data')

// What users rated since is work of another sort, which the coder never saw. Some of the old beside
// it keeps the old.
const { train: rated, validation: unseen } = splitDataset(generator.generate('researcher', 80), {
  seed: 1,
})
const old = selectExamples(
  parts.train,
  Array.from({ length: 64 }, (_, i) => i),
)
const feedback = joinDatasets('feedback', [rated, old])
const adapt = { adapter: loaded, data: feedback, steps: 5, rows: 32, learningRate: 0.002 }
const adapted = await step(
  'adapt, 5 steps',
  () => train(adapt),
  ({ loss }) => `64 rated examples and 64 old ones, loss ${formatError(loss)}`,
)
await swap.prepare(createStandaloneForward(adapted.adapter, width))
await step(
  'swap in',
  () => swap.swap(),
  (out) =>
    `error on new work ${formatError(errorOf(swap.active, unseen))}, before ${formatError(errorOf(out, unseen))}`,
)
rows.push(['', '', `on its own work ${formatError(errorOf(swap.active, parts.validation))}`])

const wide = Math.max(...rows.map(([name]) => name.length))
const narrow = Math.max(...rows.map(([, ms]) => ms.length), 2)
console.log(`${'step'.padEnd(wide)}  ${'ms'.padStart(narrow)}  result`)
for (const [name, ms, what] of rows)
  console.log(`${name.padEnd(wide)}  ${ms.padStart(narrow)}  ${what}`)

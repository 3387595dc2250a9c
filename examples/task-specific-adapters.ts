// Experts for tasks without a language model: made, trained, judged, merged, saved. Run it with
// node examples/task-specific-adapters.ts; in your own project, import from 'graftlm/adapters',
// 'graftlm/train', 'graftlm/merge' and 'graftlm/node'.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRole, createStandaloneForward } from '../src/adapters/index.ts'
import { merge } from '../src/merge/index.ts'
import { loadAdapter, saveAdapter } from '../src/node/adapters.ts'
import { hashDataset, splitDataset, SyntheticDataGenerator } from '../src/train/index.ts'
import { measureError, printSteps, runStep, trainToEnd } from './shared/steps.ts'

const width = 768
const generator = new SyntheticDataGenerator(width, 42)
const create = () => createRole('coder', width, { seed: 1 })
const fresh = await runStep('create', create, ({ tensors }) => `coder, ${tensors.size} tensors`)
const generate = () => generator.generate('coder', 1000)
const data = await runStep('1,000 examples', generate, () => `of width ${width}`)
const split = () => splitDataset(data, { seed: 1 })
const parts = await runStep('split', split, ({ train, validation }) => {
  return `${train.quality.length} to learn from, ${validation.quality.length} held back`
})

const { train, validation } = parts
const teach = () => trainToEnd({ adapter: fresh, data: train, validation, preset: 'quick' })
const coder = await runStep('train quick', teach, ({ loss }) => `validation loss ${loss}`)
const forward = createStandaloneForward(coder.adapter, width)
const judge = () => measureError(forward, validation)
const untrained = measureError((x) => x, validation)
await runStep('forward', judge, (is) => `error ${is}, without the adapter ${untrained}`)

const reviews = generator.generate('reviewer', 1000)
const teachOther = () =>
  trainToEnd({ adapter: createRole('reviewer', width), data: reviews, preset: 'quick' })
const reviewer = await runStep('train another', teachOther, ({ loss }) => `reviewer, loss ${loss}`)
const mix = () =>
  merge([coder.adapter, reviewer.adapter], { method: 'weighted', weights: [0.7, 0.3] })
await runStep('merge 0.7 / 0.3', mix, ({ config }) => `rank ${(config as { rank?: number }).rank}`)

const folder = await mkdtemp(join(tmpdir(), 'graft-example-'))
const save = () => saveAdapter(coder.adapter, folder)
await runStep('save', save, () => 'as PEFT saves adapters')
const load = () => loadAdapter(folder)
const loaded = await runStep('load', load, (it) => `${it.metadata?.name}: ${it.metadata?.tags}`)
await rm(folder, { recursive: true })
if (loaded.metadata?.['data_sha256'] !== (await hashDataset(train)))
  throw new Error('the adapter does not know its data')
printSteps()

// An expert over embeddings is exchanged while it works, rolled back, and learns from users'
// ratings: node examples/swap-adapters.ts; in your own project, import from 'graftlm/adapters' and
// 'graftlm/train'.

import { createRole, createStandaloneForward, HotSwap } from '../src/adapters/index.ts'
import {
  joinDatasets,
  selectExamples,
  splitDataset,
  SyntheticDataGenerator,
} from '../src/train/index.ts'
import { measureError, note, printSteps, runStep, trainToEnd } from './shared/steps.ts'

const width = 768
const generator = new SyntheticDataGenerator(width, 42)
const { train, validation } = splitDataset(generator.generate('coder', 1000), { seed: 1 })
const adapter = createRole('coder', width, { seed: 1 })
const coder = await trainToEnd({ adapter, data: train, validation, preset: 'quick' })
const forward = createStandaloneForward(coder.adapter, width)
const other = createStandaloneForward(createRole('reviewer', width), width)

const swap = new HotSwap(forward)
const begun = swap.run(async (active) => {
  await new Promise((resolve) => setTimeout(resolve, 5)) // the swap happens meanwhile
  return measureError(active, validation)
})
await swap.prepare(other)
const begin = () => void swap.swap()
const isBusy = () => `a pass is still running on the old one: ${swap.isSwapping}`
await runStep('swap', begin, isBusy)
const after = await swap.run((active) => measureError(active, validation))
note(`begun before: ${await begun}, begun after: ${after}`)
const takeBack = () => swap.rollBack()
await runStep('roll back', takeBack, () => `the coder again: ${swap.active === forward}`)

// What users rated since is work of another sort, which the coder never saw. Some old examples in
// addition preserve the old task.
const rated = splitDataset(generator.generate('researcher', 80), { seed: 1 })
const first = Array.from({ length: 64 }, (_, i) => i)
const data = joinDatasets('feedback', [rated.train, selectExamples(train, first)])
const settings = { adapter: coder.adapter, data, steps: 5, rows: 32, learningRate: 0.002 }
const adapt = () => trainToEnd(settings)
const adapted = await runStep('adapt, 5 steps', adapt, ({ loss }) => {
  return `64 rated examples and 64 old ones, loss ${loss}`
})
await swap.prepare(createStandaloneForward(adapted.adapter, width))
const finish = () => swap.swap()
await runStep('swap in', finish, (out) => {
  const [now, before] = [swap.active, out].map((each) => measureError(each, rated.validation))
  return `error on new work ${now}, before ${before}`
})
note(`on its own work ${measureError(swap.active, validation)}`)
printSteps()

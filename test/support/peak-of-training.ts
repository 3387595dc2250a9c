// A process of its own: plans a run on SmolLM2-135M's shape with random weights, or trains three
// steps of it, and prints the plan or the peak of its resident memory. Arguments: plan | train, and
// settings as JSON.

import { createSyntheticBase } from '../../src/cli/bench/synthetic.ts'
import { random } from '../../src/base/random.ts'
import { readQuantized, readWeights } from '../../src/graph/read-weights.ts'
import { createNodeBackend } from '../../src/node/backend.ts'
import type { TrainOptions } from '../../src/train/options/options.ts'
import { planTraining } from '../../src/train/estimate/estimate.ts'
import { train } from '../../src/train/run/train.ts'

const [task, text = '{}'] = process.argv.slice(2)
const given = JSON.parse(text) as Pick<TrainOptions, 'batch' | 'checkpointing' | 'quantization'>
const batch = { rows: 4, tokens: 128, ...given.batch }
const base = createSyntheticBase('f32')
const numbers = random(5)
const steps = 3

const options: TrainOptions = {
  ...given,
  batch,
  steps,
  model: {
    base,
    backend: await createNodeBackend(),
    weights: ((wanted?: Pick<TrainOptions, 'quantization'>) =>
      wanted?.quantization
        ? readQuantized(base, wanted.quantization)
        : readWeights(base)) as unknown as TrainOptions['model']['weights'],
  },
  adapter: { kind: 'lora', config: { rank: 16, alpha: 32, targets: 'all-linear' } },
  data: {
    name: 'random rows',
    format: 'text',
    examples: steps * batch.rows,
    cut: 0,
    dropped: 0,
    rows: Array.from({ length: steps * batch.rows }, () => ({
      ids: Int32Array.from({ length: batch.tokens }, () =>
        numbers.integer(base.config.vocabularySize),
      ),
      weights: Float32Array.from({ length: batch.tokens }, (_, t) => (t > 0 ? 1 : 0)),
    })),
  },
}

if (task === 'plan') console.log(JSON.stringify(await planTraining(options)))
else {
  const times: number[] = []
  let loss = NaN
  let before = performance.now()
  for await (const event of train(options)) {
    if (event.type !== 'step-end') continue
    times.push((performance.now() - before) / 1000)
    before = performance.now()
    loss = event.loss
  }
  console.log(
    JSON.stringify({
      peakBytes: process.resourceUsage().maxRSS * 1024,
      stepSeconds: times.slice(1),
      loss,
    }),
  )
}

// Ten users of a learner in one batch, each with separate tiers, compared with ten requests to the
// base: SmolLM2-135M-Instruct, 64 tokens each after a prompt of about 256.

import { createLearner } from '../../../learn/index.ts'
import { loadModel } from '../../../node/index.ts'
import type { LoadedModel } from '../../../node/index.ts'
import { toBenchmarkRow, type BenchmarkRow } from '../benchmark.ts'

const users = Array.from({ length: 10 }, (_, i) => `user ${i}`)
const newTokens = 64
const rounds = 3

let salt = 0
/** A prompt that no earlier one begins like. */
const createPrompt = (model: LoadedModel): number[] =>
  Array.from({ length: 256 }, (_, i) => 100 + ((i * 37 + ++salt * 101) % 20_000)).filter(
    (id) => id < model.config.vocabularySize,
  )

async function readAll(events: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of events);
}

/** New tokens per second of all streams together. */
async function measureStreams(open: (index: number) => AsyncIterable<unknown>): Promise<number> {
  const started = performance.now()
  await Promise.all(users.map((_, i) => readAll(open(i))))
  return (users.length * (256 + newTokens) * 1000) / (performance.now() - started)
}

export async function compareUsers(): Promise<BenchmarkRow> {
  const model = await loadModel('smollm2-135m-instruct')
  const learner = createLearner({ model })
  for (const user of users)
    await learner.learn({ user, prompt: `Who is ${user}?`, completion: ` A friend of ${user}.` })
  const options = { maxTokens: newTokens, minTokens: newTokens, cache: false }
  const ours: number[] = []
  const base: number[] = []
  for (let round = 0; round <= rounds; round++) {
    const tiered = await measureStreams((i) =>
      learner.generate(createPrompt(model), { ...options, user: users[i]! }),
    )
    const plain = await measureStreams(() => model.generate(createPrompt(model), options))
    if (round === 0) continue
    ours.push(tiered)
    base.push(plain)
  }
  await model.dispose()
  return toBenchmarkRow({
    name: '10 users, tiers each, to 10 of the base',
    unit: 'tokens/s',
    higherIsBetter: true,
    goal: 0.7,
    ours,
    reference: { name: 'base, Q4_1', values: base },
  })
}

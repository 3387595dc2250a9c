// Whether rewards that can be checked add to supervised training: a small base that was taught a
// few labelled rows, then goes on with more of the same (supervised alone, as many tokens), with
// rejection sampling or with GRPO on prompts whose answers are only graded. Answers must be JSON of
// what a sentence says, and the reward is that it is valid JSON; held-out sentences judge, over three
// seeds. GRAFT_BENCH_REWARDS: rounds.

import type { Adapter } from '../../../src/adapters/index.ts'
import { random } from '../../../src/base/random.ts'
import { evaluate, metrics } from '../../../src/eval/index.ts'
import { trainByRewards } from '../../../src/learn/index.ts'
import { loadModel, type LoadedModel, train } from '../../../src/node/index.ts'
import { createRawDataset, type RawDataset } from '../../../src/train/data/jsonl.ts'
import {
  type Benchmark,
  type BenchmarkRow,
  toBenchmarkRow,
} from '../../../src/cli/bench/benchmark.ts'

const seeds = [1, 2, 3]
const who = 'Lily Tom Sue Max Anna Ben Sam Mia Lucy Tim Jack Amy'.split(' ')
const what = ['cat', 'dog', 'ball', 'box', 'car', 'hat', 'tree', 'bird']
const labelled = 12
const graded = 32
const judged = 40
const reward = metrics.get('json-validity')!
const judges = [reward, metrics.get('json-equality')!]
const learningRate = 5e-4
const answers = { newTokens: 40, stop: ['\n'] }

const makeRow = (name: string, thing: string) => ({
  prompt: `${name} has a ${thing}.\n`,
  completion: `{"who": "${name}", "has": "${thing}"}\n`,
})

interface Task {
  readonly labelled: RawDataset
  readonly graded: RawDataset
  readonly judged: RawDataset
}

function splitTask(seed: number): Task {
  const all = random(seed).shuffle(who.flatMap((name) => what.map((thing) => makeRow(name, thing))))
  const take = (name: string, from: number, count: number): RawDataset =>
    createRawDataset(all.slice(from, from + count), name)
  return {
    labelled: take('labelled', 0, labelled),
    graded: take('graded', labelled, graded),
    judged: take('judged', labelled + graded, judged),
  }
}

/**
 * Bytes that the base's stories do not have, such as braces, have rows of the embedding that were
 * never trained and are much the same: no layer can tell them apart, so a sample draws any of them.
 */
const listByteTokens = ({ base }: LoadedModel): number[] =>
  [...new Set(base.tokenizer!.encode('{}\n'))].filter((id) => id > 2 && id < 259)

const teach = async (
  model: LoadedModel,
  data: RawDataset,
  { steps, seed, from }: { steps: number; seed: number; from?: Adapter },
): Promise<Adapter> => {
  const config = { rank: 8, targets: 'all-linear', trainableTokens: listByteTokens(model) }
  const adapter = from ?? { kind: 'lora', config }
  const rate = from ? learningRate : 5e-3
  return (await train({ model, data, steps, seed, adapter, learningRate: rate }).done).adapter
}

/** The shares of held-out sentences that each answers in valid JSON, and right. */
async function measureSeed(
  model: LoadedModel,
  seed: number,
  { rounds, progress }: { rounds: number; progress: (text: string) => void },
): Promise<Map<string, number>> {
  const task = splitTask(seed)
  const taught = await teach(model, task.labelled, { steps: 120, seed })
  const options = { model, adapter: taught, data: task.graded, metric: reward, rounds, seed }
  const candidates = new Map([
    ['taught', taught],
    ['more of the same', await teach(model, task.labelled, { steps: 60, seed, from: taught })],
  ])
  for (const loss of ['rejection', 'grpo'] as const) {
    const { adapter } = await trainByRewards({
      ...options,
      ...answers,
      loss,
      samples: 6,
      learningRate,
      onRound: ({ round, reward: mean, learned }) =>
        progress(`seed ${seed} ${loss} ${round}: reward ${mean.toFixed(3)}, ${learned} learned`),
    })
    candidates.set(loss, adapter!)
  }
  const { metricResults } = await evaluate({
    model,
    data: task.judged,
    metrics: judges,
    candidates: [...candidates].map(([name, adapter]) => ({ name, adapter })),
    ...answers,
  })
  return new Map(
    metricResults.flatMap(({ metric, results }) =>
      results.map(({ candidate, value }) => [`${candidate}, ${metric}`, value] as const),
    ),
  )
}

export const rewardStudy: Benchmark = {
  name: 'rewards',
  summary:
    'rejection sampling and GRPO after a few labelled rows, against more steps on those rows',
  needs: 'nothing',
  async *run({ progress, environment }): AsyncGenerator<BenchmarkRow> {
    const rounds = Number(environment['GRAFT_BENCH_REWARDS'] ?? 6)
    const model = await loadModel('stories260k')
    const values = new Map<string, number[]>()
    for (const seed of seeds) {
      progress(`seed ${seed}`)
      for (const [name, value] of await measureSeed(model, seed, { rounds, progress }))
        values.set(name, [...(values.get(name) ?? []), value])
    }
    await model.dispose()
    for (const [name, ours] of values)
      yield toBenchmarkRow({
        name,
        unit: 'share right',
        higherIsBetter: true,
        ours,
        note: ours.map((value) => value.toFixed(3)).join(' '),
      })
  },
}

// Whether verifiable rewards improve on supervised training: a small base that was trained on a few
// labelled rows, then continues with more of the same (supervised alone, as many tokens), with
// rejection sampling or with GRPO on prompts whose answers are only graded. Answers must be JSON of
// what a sentence says, and the reward is that it is valid JSON; held-out sentences measure it,
// over three seeds. GRAFT_BENCH_REWARDS: rounds.

import type { Adapter } from '../../../src/adapters/index.ts'
import { random } from '../../../src/base/random.ts'
import { evaluate, type Metric, metrics } from '../../../src/eval/index.ts'
import { type Question, readQuestions } from '../../../src/eval/questions.ts'
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
const things = ['cat', 'dog', 'ball', 'box', 'car', 'hat', 'tree', 'bird']
const labelled = 12
const graded = 32
const judged = 40
const reward = metrics.get('json-validity')!
const equality = metrics.get('json-equality')!
/** Supervised steps before, and further ones: about as many as the rounds of rewards take. */
const stepCounts = { before: 120, more: 120 }
const sampleCounts = { learned: 6, judged: 4 }
/** GRPO at 1e-3 moves tokens so far in one round that rewards fall; see docs/rewards.md. */
const losses = {
  rejection: { learningRate: 5e-4 },
  grpo: { learningRate: 2e-4, lossOptions: { beta: 0 } },
} as const
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
  const all = random(seed).shuffle(
    who.flatMap((name) => things.map((thing) => makeRow(name, thing))),
  )
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
 * never trained and are much the same: no layer can distinguish them, so a sample draws any of
 * them.
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
  const learningRate = from ? losses.rejection.learningRate : 5e-3
  return (await train({ model, data, steps, seed, adapter, learningRate }).done).adapter
}

/** Shares of the held-out sentences: of samples that are valid and right, and of greedy answers. */
async function judge(
  model: LoadedModel,
  { judged: data }: Task,
  adapter: Adapter,
): Promise<Record<string, number>> {
  const questions = readQuestions(data, answers.stop)
  const asked = questions.flatMap((question) => Array<Question>(sampleCounts.judged).fill(question))
  const ids = asked.map((question) => model.encode(question.prompt(model, undefined, adapter)))
  const drawn = { adapter, temperature: 1, maxTokens: answers.newTokens, stop: answers.stop }
  const written = await model.generateBatch(ids, Object.assign({ seed: 1 }, drawn))
  const compute = async (metric: Metric): Promise<number> => {
    let sum = 0
    for (const [i, { row, wanted }] of asked.entries())
      sum += (await metric.score({ row, wanted, answer: written[i]!.text })).value
    return sum / asked.length
  }
  const { metricResults } = await evaluate({
    model,
    data,
    metrics: [equality],
    candidates: [{ name: 'judged', adapter }],
    ...answers,
  })
  return {
    'samples valid': await compute(reward),
    'samples right': await compute(equality),
    'greedy right': metricResults[0]!.results[0]!.value,
  }
}

async function measureSeed(
  model: LoadedModel,
  seed: number,
  { rounds, progress }: { rounds: number; progress: (text: string) => void },
): Promise<Map<string, number>> {
  const task = splitTask(seed)
  const taught = await teach(model, task.labelled, { steps: stepCounts.before, seed })
  const values = new Map<string, number>()
  const note = async (name: string, adapter: Adapter): Promise<void> => {
    const found = await judge(model, task, adapter)
    for (const [what, value] of Object.entries(found)) values.set(`${name}: ${what}`, value)
    progress(`seed ${seed} ${name}: ${JSON.stringify(found)}`)
  }
  await note('taught', taught)
  const more = { steps: stepCounts.more, seed, from: taught }
  await note('more of the same', await teach(model, task.labelled, more))
  for (const loss of ['rejection', 'grpo'] as const) {
    const { adapter } = await trainByRewards({
      model,
      adapter: taught,
      data: task.graded,
      metric: reward,
      rounds,
      seed,
      loss,
      samples: sampleCounts.learned,
      ...losses[loss],
      ...answers,
      onRound: ({ round, reward: mean, learned }) =>
        progress(`seed ${seed} ${loss} ${round}: reward ${mean.toFixed(3)}, ${learned} learned`),
    })
    await note(loss, adapter)
  }
  return values
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
        unit: 'share of answers',
        higherIsBetter: true,
        ours,
        note: ours.map((value) => value.toFixed(3)).join(' '),
      })
  },
}

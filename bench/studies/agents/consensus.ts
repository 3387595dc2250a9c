// Whether agents that agree answer better than one: three experts that each saw a third of the
// names, each alone, their vote, and one expert merged from their changes, over three seeds.

import { compareConsensus } from '../../../src/agents/index.ts'
import { metrics } from '../../../src/eval/index.ts'
import { loadModel, train, type LoadedModel } from '../../../src/node/index.ts'
import { createRawDataset } from '../../../src/train/data/jsonl.ts'
import {
  type Benchmark,
  type BenchmarkRow,
  toBenchmarkRow,
} from '../../../src/cli/bench/benchmark.ts'

const seeds = [1, 2, 3]
const names =
  'Lily Tom Sue Max Anna Ben Sam Mia Lucy Tim Jack Amy Bob Kate Leo Zoe Fred Jane Mary John'.split(
    ' ',
  )
const things = ['cat', 'dog', 'bird', 'box']
const agentNames = ['first', 'second', 'third']

/**
 * What was seen depends on the place of the name, so that a name that was never seen is a guess.
 */
const rows = names.map((name, i) => ({
  prompt: `${name} looked up.`,
  completion: ` ${name} saw a ${things[i % things.length]} and ${name} was happy. The end.`,
}))

async function teach(model: LoadedModel, part: number, seed: number) {
  const data = rows.filter((_, i) => i % agentNames.length === part)
  const options = { model, data, steps: 60, learningRate: 5e-3, seed }
  return (await train(options).done).adapter
}

async function measureSeed(model: LoadedModel, seed: number): Promise<Map<string, number>> {
  const taught = []
  for (const [i, name] of agentNames.entries())
    taught.push([name, await teach(model, i, 10 * seed + i)] as const)
  const found = await compareConsensus({
    model,
    data: createRawDataset(rows, 'names'),
    metric: metrics.get('token-f1')!,
    experts: Object.fromEntries(taught),
    newTokens: 32,
    stop: ['The end.'],
    seed,
  })
  return new Map(found.map(({ name, value }) => [name, value]))
}

export const consensusStudy: Benchmark = {
  name: 'consensus',
  summary:
    'three agents alone, their vote, and one merged from them by TIES: token F1, three seeds',
  needs: 'nothing',
  async *run({ progress }): AsyncGenerator<BenchmarkRow> {
    const model = await loadModel('stories260k')
    const values = new Map<string, number[]>()
    for (const seed of seeds) {
      progress(`seed ${seed}`)
      for (const [name, value] of await measureSeed(model, seed))
        values.set(name, [...(values.get(name) ?? []), value])
    }
    await model.dispose()
    for (const [name, ours] of values)
      yield toBenchmarkRow({
        name,
        unit: 'token F1',
        higherIsBetter: true,
        ours,
        note: ours.map((value) => value.toFixed(3)).join(' '),
      })
  },
}

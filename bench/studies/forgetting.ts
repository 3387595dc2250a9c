// Trains four tasks in a row on one adapter, plainly and with EWC over a range of λ, and measures
// how much of the earlier tasks is lost and how well the last one is learned. All arms of a seed
// share the run of the first task. GRAFT_BENCH_EWC names arms as estimate:λ, GRAFT_BENCH_SEEDS the
// seeds, GRAFT_BENCH_CACHE a folder that keeps every trained task: an interrupted run resumes from
// there.

import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Adapter } from '../../src/adapters/index.ts'
import { OptionError } from '../../src/base/errors.ts'
import { loadModel } from '../../src/node/index.ts'
import { type Benchmark, type BenchmarkRow, toBenchmarkRow } from '../../src/cli/bench/benchmark.ts'
import { estimates } from './forgetting-estimates.ts'
import { type Arm, type Outcome, buildSettingsName, runSequence } from './forgetting-sequence.ts'
import {
  createLossMeter,
  type LossMeter,
  type Task,
  tasks as allTasks,
} from './forgetting-tasks.ts'
import { createValueCache } from './value-cache.ts'

const modelName = 'smollm2-135m-instruct'
const defaultArms = 'shipped:0.003,shipped:0.005,shipped:0.01,shipped:0.02,shipped:0.03'
const plain: Arm = { estimate: 'shipped', lambda: 0 }
const goalKept = 1 / 0.6 // forgetting of plain training over ours: at least 40 % less

function parseArm(text: string): Arm {
  const [estimate = '', lambda = ''] = text.split(':')
  if (!(estimate in estimates) || !(Number(lambda) > 0))
    throw new OptionError(
      `GRAFT_BENCH_EWC: got ${text}, expected estimate:λ with λ > 0 and an estimate of ${Object.keys(estimates).join(', ')}.`,
    )
  return { estimate, lambda: Number(lambda) }
}

function readTaskNames(text: string | undefined): readonly Task[] {
  if (!text) return allTasks
  return text.split(',').map((name) => {
    const task = allTasks.find((known) => known.name === name)
    if (task) return task
    const known = allTasks.map((one) => one.name).join(', ')
    throw new OptionError(`GRAFT_BENCH_TASKS: got ${name}, expected one of ${known}.`)
  })
}

const describeChange = (ratio: number): string => {
  const percent = (100 * (ratio - 1)).toFixed(1)
  return `${ratio < 1 ? percent.replace('-', '−') : `+${percent}`} %`
}

/** Mean and range of one figure over that of plain training, seed by seed. */
function compareBySeed(ours: readonly Outcome[], others: readonly Outcome[], key: keyof Outcome) {
  const ratios = ours.map((outcome, i) => outcome[key] / others[i]![key])
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length
  const range = [Math.min(...ratios), Math.max(...ratios)].map(describeChange).join(' to ')
  return { ratios, mean, text: `${describeChange(mean)} (${range})` }
}

function describeArm(
  { estimate, lambda }: Arm,
  seeds: readonly number[],
  ours: readonly Outcome[],
  others: readonly Outcome[],
): BenchmarkRow {
  const forgetting = compareBySeed(ours, others, 'forgetting')
  const final = compareBySeed(ours, others, 'final')
  const mean = compareBySeed(ours, others, 'mean')
  return {
    ...toBenchmarkRow({
      name: `${estimate}, λ = ${lambda}: forgetting, mean of three tasks`,
      unit: 'nats',
      higherIsBetter: false,
      goal: goalKept,
      ours: ours.map((outcome) => outcome.forgetting),
      reference: { name: 'plain', values: others.map((outcome) => outcome.forgetting) },
      note: `forgetting ${forgetting.text}, last task ${final.text}, all four ${mean.text}`,
    }),
    figures: {
      lambda,
      seeds,
      forgetting: ours.map((outcome) => outcome.forgetting),
      lastTask: ours.map((outcome) => outcome.final),
      allTasks: ours.map((outcome) => outcome.mean),
      forgettingRatio: forgetting.ratios,
      lastTaskRatio: final.ratios,
      allTasksRatio: mean.ratios,
    },
  }
}

export const forgetting: Benchmark = {
  name: 'forgetting',
  summary:
    'four tasks in a row on one adapter, with EWC against plain training: what is lost of the earlier ones',
  needs:
    'the real SmolLM2-135M-Instruct, from the catalogue; its reference is our own plain training. GRAFT_BENCH_EWC: other arms, "shipped:0.01,flat:0.01"; GRAFT_BENCH_SEEDS: "0,1,2"; GRAFT_BENCH_CACHE: a folder of finished arms',
  async *run({ environment, progress }): AsyncIterable<BenchmarkRow> {
    const arms = (environment['GRAFT_BENCH_EWC'] ?? defaultArms).split(',').map(parseArm)
    const seeds = (environment['GRAFT_BENCH_SEEDS'] ?? '0,1,2').split(',').map(Number)
    const cacheFolder = environment['GRAFT_BENCH_CACHE'] ?? join(tmpdir(), 'graft-forgetting')
    const tasks = readTaskNames(environment['GRAFT_BENCH_TASKS'])
    const model = await loadModel(modelName)
    let meter: LossMeter | undefined
    const context = {
      model,
      tasks,
      cache: createValueCache(join(cacheFolder, buildSettingsName(tasks))),
      meter: async (shape: Adapter) => (meter ??= await createLossMeter(model, shape)),
      tell: progress,
    }
    const measure = async (arm: Arm): Promise<Outcome[]> => {
      const outcomes: Outcome[] = []
      for (const seed of seeds) outcomes.push(await runSequence(context, arm, seed))
      return outcomes
    }
    try {
      const measured: Outcome[][] = []
      for (const arm of arms) measured.push(await measure(arm))
      const others = await measure(plain)
      for (const [n, arm] of arms.entries()) yield describeArm(arm, seeds, measured[n]!, others)
    } finally {
      await meter?.dispose()
      await model.dispose()
    }
  },
}

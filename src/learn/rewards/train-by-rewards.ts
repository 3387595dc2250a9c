// Learns from verifiable rewards: samples answers, grades them, learns from the grades, and repeats
// this with the trained adapter. The objective is a loss of the table.

import type { Adapter } from '../../adapters/index.ts'
import { DataError, OptionError } from '../../base/errors.ts'
import {
  integer,
  listOf,
  number,
  oneOf,
  type OptionValues,
  positiveInteger,
  readOptions,
  record,
  string,
  unchecked,
} from '../../base/schema.ts'
import { random } from '../../base/random.ts'
import type { Metric } from '../../eval/metric.ts'
import { type Question, readQuestions } from '../../eval/questions.ts'
import type { Model } from '../../runtime/index.ts'
import { computeAdvantages } from '../../train/data/advantages.ts'
import type { EncodedData, EncodedSequence } from '../../train/data/encode.ts'
import type { RawDataset } from '../../train/data/jsonl.ts'
import type { FreshAdapter } from '../../train/options/options.ts'
import type { TrainableModel } from '../../train/programs/trainable-model.ts'
import { gradeAnswers } from './grade-answers.ts'

const rewardTable = {
  loss: oneOf(['grpo', 'rejection'], {
    default: 'grpo',
    about: 'grpo: every answer by its advantage; rejection: those that are good enough',
  }),
  lossOptions: record,
  rounds: integer({ from: 1, default: 4, about: 'rounds of sampling and learning' }),
  samples: integer({ from: 2, default: 8, about: 'answers of each prompt in a round' }),
  prompts: integer({
    from: 1,
    about: 'prompts of a round, drawn again in each round (default: all)',
  }),
  epochs: integer({ from: 1, default: 1, about: 'passes over the answers of a round' }),
  learningRate: number({ above: 0, default: 1e-3 }),
  temperature: number({ above: 0, default: 1, about: 'of the samples' }),
  newTokens: integer({ from: 1, default: 96, about: 'tokens of an answer at most' }),
  stop: listOf(string({ filled: true }), { default: [] }),
  labels: listOf(string()),
  system: string(),
  graderTimeoutMs: positiveInteger,
  seed: integer({ default: 0 }),
  signal: unchecked<AbortSignal>('an AbortSignal'),
  onRound: unchecked<(report: RewardRound) => void>('a function'),
}

export type RewardSettings = {
  readonly [Name in keyof typeof rewardTable]?: OptionValues<typeof rewardTable>[Name] | undefined
}

export interface TrainByRewardsOptions extends RewardSettings {
  readonly model: Model & TrainableModel
  /** What is trained on, or a fresh one's kind. Default: a LoRA on all linear layers. */
  readonly adapter?: Adapter | FreshAdapter | undefined
  /** Prompts; what else the metric needs is in the rows. */
  readonly data: RawDataset
  /** One that judges answers. */
  readonly metric: Metric
}

/** One round of sampling and learning. */
export interface RewardRound {
  /** From 1. */
  readonly round: number
  readonly answers: number
  /** Mean of the answers, before this round was learned. */
  readonly reward: number
  /** Answers that were learned from: GRPO leaves out groups whose answers got the same. */
  readonly learned: number
  /** Answers whose grader took too long, or threw; each got 0. */
  readonly hung: number
  readonly failed: number
  /** Of the training: 'clipped' and 'divergence' of GRPO. */
  readonly measures: Readonly<Record<string, number>>
}

export interface RewardResult {
  readonly adapter: Adapter
  readonly rounds: readonly RewardRound[]
}

const graderMs = 10_000
/** What rejection sampling learns from. */
const leastReward = 0.5

interface Run {
  readonly options: TrainByRewardsOptions
  readonly settings: OptionValues<typeof rewardTable>
  readonly questions: readonly Question[]
}

/**
 * Trains an adapter by the rewards of its own answers:
 *
 * const { adapter } = await trainByRewards({ model, data, metric: metrics.get('json-equality') })
 *
 * A round samples `samples` answers to each prompt at `temperature`, grades them, and trains on
 * them with `loss`; the policy that GRPO compares with is the one that wrote them. Throws
 * OptionError for unknown or wrong options, DataError where no round had anything to learn,
 * WorkerError for a grader that hangs or fails on every answer of a round.
 */
export async function trainByRewards(options: TrainByRewardsOptions): Promise<RewardResult> {
  const { model, adapter: given, data, metric, ...rest } = options
  const settings = readOptions('Training by rewards', rest, rewardTable)
  if (metric?.needs !== 'answers')
    throw new OptionError(`Training by rewards: ${metric?.name ?? 'nothing'} judges no answers.`)
  const run: Run = { options, settings, questions: readQuestions(data, settings.stop) }
  await checkQuestions(run)
  // read once: each round trains over the same base
  const weights = await model.weights()
  const trained = Object.assign({}, model, { weights: async () => weights }) as typeof model
  let adapter = given && 'tensors' in given ? given : undefined
  const rounds: RewardRound[] = []
  for (let round = 1; round <= settings.rounds; round++) {
    settings.signal?.throwIfAborted()
    const { rows, ...report } = await sampleRound(run, adapter, round)
    const start = adapter ?? (given as FreshAdapter | undefined)
    const learned =
      rows.length === 0 ? undefined : await learnRound(run, trained, rows, start, adapter, round)
    adapter = learned?.adapter ?? adapter
    rounds.push({ round, ...report, learned: rows.length, measures: learned?.measures ?? {} })
    settings.onRound?.(rounds.at(-1)!)
  }
  if (!adapter || rounds.every(({ learned }) => learned === 0))
    throw new DataError(describeNothing(run, rounds))
  return { adapter, rounds }
}

function describeNothing({ options, settings }: Run, rounds: readonly RewardRound[]): string {
  const why =
    settings.loss === 'rejection'
      ? `no answer reached a reward of ${Number(settings.lossOptions?.['least'] ?? leastReward)}`
      : 'all answers to a prompt got the same reward'
  const mean = rounds.reduce((sum, { reward }) => sum + reward, 0) / rounds.length
  return `${options.data.name}: nothing was learned in ${rounds.length} rounds, because ${why} (mean ${mean.toFixed(3)}). Train on labelled rows first, until some sampled answers are right, or lower the temperature.`
}

/** Throws OptionError with what the metric cannot judge. */
async function checkQuestions({ options, settings, questions }: Run): Promise<void> {
  const { labels } = settings
  const problems: string[] = []
  for (const { number: row, row: value, wanted } of questions) {
    const judged = { row: value, wanted, ...(labels && { labels }) }
    const problem = await options.metric.findProblem?.(judged)
    if (problem !== undefined) problems.push(`row ${row}: ${problem}`)
  }
  if (problems.length > 0)
    throw new OptionError(
      `${options.data.name}: ${options.metric.name} cannot judge ${problems.length} rows: ${problems.slice(0, 8).join('; ')}`,
    )
}

interface SampledAnswer {
  readonly question: Question
  readonly text: string
  readonly row: EncodedSequence
}

async function sampleRound(run: Run, adapter: Adapter | undefined, round: number) {
  const { options, settings } = run
  const { metric } = options
  const { graderTimeoutMs: timeoutMs = graderMs, labels, loss } = settings
  const answers = await sampleAnswers(run, adapter, round)
  const { rewards, hung, failed } = await gradeAnswers(answers, { metric, timeoutMs, labels })
  const grades = answers.map(({ question }, i) => ({
    group: String(question.number),
    reward: rewards[i]!,
  }))
  const advantages = computeAdvantages(grades)
  const least = Number(settings.lossOptions?.['least'] ?? leastReward)
  const isKept = (i: number): boolean =>
    loss === 'rejection' ? rewards[i]! >= least : advantages[i] !== 0
  const rows = answers.flatMap(({ row }, i) =>
    isKept(i) && row.ids.length > 1
      ? [{ ...row, reward: rewards[i]!, advantage: advantages[i]! }]
      : [],
  )
  const reward = rewards.reduce((sum, one) => sum + one, 0) / Math.max(1, rewards.length)
  return { rows, reward, answers: answers.length, hung, failed }
}

/** Sequences that are sampled together. */
const together = 32

async function sampleAnswers(
  { options, settings, questions }: Run,
  adapter: Adapter | undefined,
  round: number,
): Promise<SampledAnswer[]> {
  const { model } = options
  const { samples, prompts, temperature, newTokens, stop, seed, system, signal } = settings
  const draw = random(seed * 7919 + round)
  const chosen = draw.shuffle(questions).slice(0, prompts ?? questions.length)
  const asked = chosen.flatMap((question) => Array<Question>(samples).fill(question))
  const eosId = model.base.tokenizer?.eosId
  const answers: SampledAnswer[] = []
  for (let at = 0; at < asked.length; at += together) {
    const part = asked.slice(at, at + together)
    const ids = part.map((question) =>
      model.encode(question.prompt(model, system, adapter), {}, adapter),
    )
    const written = await model.generateBatch(ids, {
      adapter,
      temperature,
      maxTokens: newTokens,
      stop,
      seed: draw.uint32(),
      ...(signal && { signal }),
    })
    for (const [i, { text, ids: answer, reason }] of written.entries()) {
      const end = reason === 'eos' && eosId !== undefined ? [eosId] : []
      answers.push({ question: part[i]!, text, row: encodeAnswer(ids[i]!, [...answer, ...end]) })
    }
  }
  return answers
}

/** The very ids that were sampled; those of the answer are learned. */
const encodeAnswer = (prompt: readonly number[], answer: readonly number[]): EncodedSequence => ({
  ids: Int32Array.of(...prompt, ...answer),
  weights: Float32Array.of(...prompt.map(() => 0), ...answer.map(() => 1)),
})

async function learnRound(
  { settings }: Run,
  model: TrainableModel,
  rows: readonly EncodedSequence[],
  start: Adapter | FreshAdapter | undefined,
  reference: Adapter | undefined,
  round: number,
) {
  const { train } = await import('../../train/run/train.ts')
  const { loss, lossOptions = {}, epochs, learningRate, seed, signal } = settings
  const data: EncodedData = {
    name: `answers of round ${round}`,
    format: 'graded',
    graded: true,
    rows: random(seed + round).shuffle(rows),
    examples: rows.length,
    cut: 0,
    dropped: 0,
  }
  const longest = Math.max(...rows.map(({ ids }) => ids.length))
  const run = train({
    model,
    data,
    loss,
    lossOptions,
    epochs,
    learningRate,
    seed,
    schedule: 'constant',
    divergenceFactor: 0, // the loss of GRPO is about 0 at first, and of any sign
    warmupSteps: 0,
    batch: { rows: 4, tokens: Math.max(256, longest) },
    maxTokens: longest,
    ...(start && { adapter: start }),
    ...(loss === 'grpo' && reference && { reference }),
    ...(signal && { signal }),
  })
  let measures: Readonly<Record<string, number>> = {}
  for await (const event of run) {
    if (event.type === 'step-end' && event.measures) measures = event.measures
    if (event.type === 'train-end') return { adapter: event.last.adapter, measures }
  }
  throw new OptionError('Training by rewards: a round ended without an adapter.')
}

// Bench `learn`: does a model that learns from every request get better at the next one? 300 turns,
// each scored before it is learned; losses are averaged over the second half. Compared with the
// frozen model and with a full LoRA step through the whole model on every turn.

import { createHeadLoss, createTierStack, type TierStackOptions } from '../../src/learn/index.ts'
import { type LoadedModel, loadModel } from '../../src/node/model.ts'
import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  summarizeValues,
  toBenchmarkRow,
} from '../../src/cli/bench/benchmark.ts'
import { trainFullSteps } from './learn-full-steps.ts'
import { measureLayerOutcomes } from './learn-layers.ts'
import { measureSlowOutcome, type SlowOutcome } from './learn-slow.ts'
import {
  readGeneralText,
  computeTurnStates,
  type TurnStates,
  type Stream,
  streamNames,
  readStream,
} from './learn-turns.ts'

interface Outcome {
  /** Mean over the second half's turns of the loss before learning from each. */
  readonly loss: number
  /** Of each turn's update, in milliseconds. */
  readonly times: readonly number[]
  /**
   * Of what serving computes at the same states: the head's product, the top-k tokens, the memory's
   * retrieval.
   */
  readonly servingTimes?: readonly number[]
  /** Loss on an unrelated text after the whole stream. */
  readonly general?: number
}

const variants: Readonly<Record<string, TierStackOptions>> = {
  'head rank 4': { fast: { rank: 4 }, memory: false },
  'head rank 16': { fast: { rank: 16 }, memory: false },
  memory: { fast: false },
  'head rank 4 and memory': { fast: { rank: 4 } },
  'head rank 16 and memory': { fast: { rank: 16 } },
}
const factors = [1 / 3, 0.6, 1, 1.7, 3]

const computeMean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length
const averageSecondHalf = (losses: readonly number[]): number =>
  computeMean(losses.slice(losses.length >> 1))

async function learnStream(
  model: LoadedModel,
  turns: readonly TurnStates[],
  options: TierStackOptions,
  general: readonly TurnStates[] = [],
): Promise<Outcome> {
  const head = model.head()
  const stack = createTierStack(head, createHeadLoss(head), options)
  const losses: number[] = []
  const servingTimes: number[] = []
  const times: number[] = []
  for (const turn of turns) {
    const start = performance.now()
    const observations = await stack.observe(turn.hidden, turn.keys)
    const looked = performance.now()
    const { losses: read } = await stack.learn({ ...turn, observations })
    times.push(performance.now() - looked)
    servingTimes.push(looked - start)
    losses.push(computeMean(read))
  }
  const others: number[] = []
  for (const turn of general) others.push(computeMean((await stack.score(turn)).losses))
  return {
    loss: averageSecondHalf(losses),
    times,
    servingTimes,
    ...(general.length > 0 && { general: computeMean(others) }),
  }
}

const formatShare = (value: number): string =>
  `${value < 0 ? '−' : '+'}${Math.abs(100 * value).toFixed(1)} %`
const toLossRow = (name: string, loss: number, note: string): BenchmarkRow =>
  toBenchmarkRow({ name, unit: 'nats', higherIsBetter: false, ours: [loss], note })

async function* measure({ environment, progress }: BenchmarkContext): AsyncIterable<BenchmarkRow> {
  const count = Number(environment['GRAFT_BENCH_LEARN_TURNS'] ?? 300)
  const fullCount = Number(environment['GRAFT_BENCH_LEARN_FULL'] ?? 0)
  const ranks = (environment['GRAFT_BENCH_LEARN_RATES'] ?? '')
    .split(',')
    .filter(Boolean)
    .map(Number)
  const slow = environment['GRAFT_BENCH_LEARN_SLOW'] === '1'
  const wanted = environment['GRAFT_BENCH_LEARN_STREAMS']?.split(',') ?? streamNames
  const model = await loadModel('smollm2-135m-instruct:q4_1')
  try {
    const general = await computeTurnStates(model, await readGeneralText(model))
    for (const name of wanted)
      yield* measureStream(model, await readStream(model, name, count), {
        fullCount,
        ranks,
        slow,
        general,
        progress,
      })
  } finally {
    await model.dispose()
  }
}

interface MeasureOptions {
  /** Turns of the full step; 0: none. */
  readonly fullCount: number
  /** Ranks for which five rates are tried. */
  readonly ranks: readonly number[]
  /** Whether what was learned is consolidated too. */
  readonly slow: boolean
  /** A text whose loss must not rise. */
  readonly general: readonly TurnStates[]
  readonly progress: (text: string) => void
}

/** What a stream's outcomes are compared with. */
interface Reference {
  readonly frozen: number
  /**
   * The full step's loss, if it saw the whole stream: otherwise a share of its gain means nothing.
   */
  readonly full: number | undefined
  readonly fullMs: number | undefined
  /** The frozen model's loss on the general text. */
  readonly general: number | undefined
}

function describeOutcome(
  { loss, times, servingTimes, general }: Outcome,
  { frozen, full, fullMs, general: before }: Reference,
): string {
  const ms = summarizeValues(times).median
  const ofFull = fullMs === undefined ? '' : `: ${((100 * ms) / fullMs).toFixed(1)} % of its time`
  const parts = [`${ms.toFixed(1)} ms an update${ofFull}`]
  if (full !== undefined) {
    const share = ((100 * (frozen - loss)) / (frozen - full)).toFixed(0)
    parts.unshift(`${share} % of the full step’s gain`)
  }
  if (servingTimes)
    parts.push(`after ${summarizeValues(servingTimes).median.toFixed(1)} ms that serving takes`)
  if (general !== undefined) parts.push(`gsm8k ${formatShare(general / before! - 1)}`)
  return parts.join(', ')
}

/** The frozen model, and the full step where it is wanted. */
async function* measureReference(
  model: LoadedModel,
  stream: Stream,
  turns: readonly TurnStates[],
  { fullCount, general, progress }: MeasureOptions,
): AsyncGenerator<BenchmarkRow, Reference> {
  const { name } = stream
  const noTiers = { fast: false, memory: false } as const
  const frozen = await learnStream(model, turns, noTiers, general)
  yield toLossRow(`${name}: frozen`, frozen.loss, `${stream.turns.length} turns`)
  const reference = { frozen: frozen.loss, general: frozen.general }
  if (fullCount === 0) return { ...reference, full: undefined, fullMs: undefined }
  const seen = stream.turns.slice(0, fullCount)
  const { losses, times } = await trainFullSteps(model, seen, progress)
  const loss = averageSecondHalf(losses)
  const fullMs = summarizeValues(times).median
  const note = `${seen.length} turns, ${fullMs.toFixed(0)} ms each`
  yield toLossRow(`${name}: full LoRA step`, loss, note)
  return { ...reference, full: seen.length < stream.turns.length ? undefined : loss, fullMs }
}

async function* measureStream(
  model: LoadedModel,
  stream: Stream,
  settings: MeasureOptions,
): AsyncIterable<BenchmarkRow> {
  const { ranks, general, progress } = settings
  const { name } = stream
  progress(`${name}: hidden states of ${stream.turns.length} turns`)
  const turns = await computeTurnStates(model, stream)
  const reference = yield* measureReference(model, stream, turns, settings)
  for (const [variant, options] of Object.entries(variants)) {
    progress(`${name}: ${variant}`)
    const outcome = await learnStream(model, turns, options, general)
    yield toLossRow(`${name}: ${variant}`, outcome.loss, describeOutcome(outcome, reference))
  }
  const rates = ranks.length > 0 ? factors.map((factor) => 5e-3 * factor) : []
  for await (const layers of measureLayerOutcomes(model, stream, rates, progress)) {
    const { losses, times, servingTimes } = layers
    const loss = averageSecondHalf(losses)
    const note = describeOutcome({ loss, times, servingTimes }, reference)
    yield toLossRow(`${name}: ${layers.name}`, loss, note)
  }
  if (settings.slow)
    yield toSlowRow(await measureSlowOutcome(model, stream, await readGeneralText(model)), name)
  for (const rank of ranks) yield measureWorstRate(model, turns, name, rank, progress)
}

function toSlowRow(
  { frozen, tiers, slow, general, learnedTurns, seconds }: SlowOutcome,
  name: string,
): BenchmarkRow {
  const kept = ((100 * (frozen - slow)) / (frozen - tiers)).toFixed(0)
  const note = `${kept} % of the tiers’ gain on 50 unseen turns (frozen ${frozen.toFixed(2)}, tiers ${tiers.toFixed(2)}) after ${learnedTurns}; gsm8k ${formatShare(general.after / general.before - 1)}; ${seconds.toFixed(0)} s`
  return toLossRow(`${name}: consolidated, tiers emptied`, slow, note)
}

/** Five rates within ×3 of the default: the worst loss of them. */
async function measureWorstRate(
  model: LoadedModel,
  turns: readonly TurnStates[],
  name: string,
  rank: number,
  progress: (text: string) => void,
): Promise<BenchmarkRow> {
  const losses: number[] = []
  for (const factor of factors) {
    progress(`${name}: rank ${rank}, rate × ${factor.toFixed(2)}`)
    losses.push(
      (
        await learnStream(model, turns, {
          fast: { rank, learningRate: 2e-3 * factor },
          memory: false,
        })
      ).loss,
    )
  }
  const note = `by rate ${losses.map((loss, i) => `${(2e-3 * factors[i]!).toPrecision(2)}: ${loss.toFixed(2)}`).join(', ')}`
  return toLossRow(`${name}: head rank ${rank}, worst of five rates`, Math.max(...losses), note)
}

export const learn: Benchmark = {
  name: 'learn',
  summary:
    'loss on each of 300 turns before learning from it: fast tier and memory against the frozen model and a full LoRA step a turn',
  needs:
    'the real SmolLM2-135M-Instruct; GRAFT_BENCH_LEARN_FULL=300: also the full step (minutes a stream); …_RATES=4,16: five rates for these ranks; …_SLOW=1: consolidation; …_TURNS, …_STREAMS: less',
  run: measure,
}

// Does a model that learns from every request get better at the next one? 300 turns pass one at a
// time; each is scored before it is learned from, and the loss averaged over the second half.
// Beside the tiers: the frozen model, and a full LoRA step through the whole model on every turn.

import { createHeadLoss, createTierStack, type TierStackOptions } from '../../src/learn/index.ts'
import { type LoadedModel, loadModel } from '../../src/node/model.ts'
import { initializeAdapter } from '../../src/adapters/create-adapter.ts'
import { createGradientProgram } from '../../src/train/programs/gradient-program.ts'
import { adamw } from '../../src/train/optimizers/adamw.ts'
import { buildBatches } from '../../src/train/batches/packing.ts'
import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  summarizeValues,
  toBenchmarkRow,
} from '../../src/cli/bench/benchmark.ts'
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
   * Of what serving computes at the same states: the head's product, the likeliest tokens, the
   * memory's pairs.
   */
  readonly servingTimes?: readonly number[]
  /** Loss on a text that has nothing to do with the stream, after all of it. */
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

/** A full step a turn: gradients through all layers for every linear layer's detour. */
async function trainFullSteps(
  model: LoadedModel,
  { turns }: Stream,
  progress: (text: string) => void,
): Promise<Outcome & { losses: number[] }> {
  const adapter = initializeAdapter(
    'lora',
    { rank: 8, alpha: 16, targets: 'all-linear' },
    model.base.graph,
    { seed: 0 },
  )
  const { base, backend } = model
  const trainable = [...adapter.tensors.keys()]
  const program = await createGradientProgram({
    graph: base.graph,
    weights: await model.weights(),
    backend,
    adapter,
    trainable,
  })
  const states = new Map(
    trainable.map((key) => [
      key,
      {
        mean: new Float32Array(adapter.tensors.get(key)!.data.length),
        square: new Float32Array(adapter.tensors.get(key)!.data.length),
      },
    ]),
  )
  const settings = adamw.complete({})
  const losses: number[] = []
  const times: number[] = []
  try {
    for (const [i, turn] of turns.entries()) {
      const start = performance.now()
      const [batch] = buildBatches({ rows: [turn], shared: 0 }, [[[0]]])
      const { loss, gradients } = await program.gradients(batch!, adapter.tensors)
      for (const [key, gradient] of gradients) {
        const parameter = adapter.tensors.get(key)!.data as Float32Array
        adamw.update(
          {
            parameter,
            gradient: gradient.data as Float32Array,
            shape: gradient.shape,
            state: states.get(key)!,
            step: i + 1,
            learningRate: 1e-3,
          },
          settings,
        )
      }
      times.push(performance.now() - start)
      losses.push(loss)
      if (i % 20 === 19)
        progress(
          `full step: turn ${i + 1}, the last 20 had ${computeMean(losses.slice(-20)).toFixed(3)}`,
        )
    }
  } finally {
    await program.dispose()
  }
  return { loss: averageSecondHalf(losses), times, losses }
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
  /** What must not get worse. */
  readonly general: readonly TurnStates[]
  readonly progress: (text: string) => void
}

async function* measureStream(
  model: LoadedModel,
  stream: Stream,
  settings: MeasureOptions,
): AsyncIterable<BenchmarkRow> {
  const { fullCount, ranks, general, progress } = settings
  const { name } = stream
  progress(`${name}: hidden states of ${stream.turns.length} turns`)
  const turns = await computeTurnStates(model, stream)
  const { loss: frozen, general: before } = await learnStream(
    model,
    turns,
    { fast: false, memory: false },
    general,
  )
  yield toLossRow(`${name}: frozen`, frozen, `${stream.turns.length} turns`)
  const full =
    fullCount > 0
      ? await trainFullSteps(model, { name, turns: stream.turns.slice(0, fullCount) }, progress)
      : undefined
  // A share of the gain means something only where the full step saw the whole stream.
  const whole = full && fullCount >= stream.turns.length ? full.loss : undefined
  const fullMs = full && summarizeValues(full.times).median
  if (full)
    yield toLossRow(
      `${name}: full LoRA step`,
      full.loss,
      `${Math.min(fullCount, stream.turns.length)} turns, ${fullMs!.toFixed(0)} ms each`,
    )
  const noted = ({ loss, times, servingTimes, general: after }: Outcome): string => {
    const share =
      whole === undefined
        ? []
        : [`${((100 * (frozen - loss)) / (frozen - whole)).toFixed(0)} % of the full step’s gain`]
    const ms = summarizeValues(times).median
    return [
      ...share,
      `${ms.toFixed(1)} ms an update${fullMs === undefined ? '' : `: ${((100 * ms) / fullMs).toFixed(1)} % of its time`}`,
      ...(servingTimes
        ? [`after ${summarizeValues(servingTimes).median.toFixed(1)} ms that serving takes`]
        : []),
      ...(after === undefined ? [] : [`gsm8k ${formatShare(after / before! - 1)}`]),
    ].join(', ')
  }
  for (const [variant, options] of Object.entries(variants)) {
    progress(`${name}: ${variant}`)
    const outcome = await learnStream(model, turns, options, general)
    yield toLossRow(`${name}: ${variant}`, outcome.loss, noted(outcome))
  }
  for await (const { name: variant, losses, times, servingTimes } of measureLayerOutcomes(
    model,
    stream,
    ranks.length > 0 ? factors.map((factor) => 5e-3 * factor) : [],
    progress,
  ))
    yield toLossRow(
      `${name}: ${variant}`,
      averageSecondHalf(losses),
      noted({ loss: averageSecondHalf(losses), times, servingTimes }),
    )
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
    'loss on each of 300 turns before learning from it: fast tier and memory beside the frozen model and a full LoRA step a turn',
  needs:
    'the real SmolLM2-135M-Instruct; GRAFT_BENCH_LEARN_FULL=300: also the full step (minutes a stream); …_RATES=4,16: five rates for these ranks; …_SLOW=1: consolidation; …_TURNS, …_STREAMS: less',
  run: measure,
}

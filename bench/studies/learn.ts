// Does a model that learns from every request get better at the next one? 300 turns pass one at a
// time; each is scored before it is learned from, and the loss averaged over the second half.
// Beside the tiers: the frozen model, and a full LoRA step through the whole model on every turn.

import { createHeadErrors, createStudent, type StudentOptions } from '../../src/learn/index.ts'
import { type LoadedModel, loadModel } from '../../src/node/model.ts'
import { createAdapter } from '../../src/adapters/index.ts'
import { createGradientProgram } from '../../src/train/programs/gradient-program.ts'
import { adamw } from '../../src/train/optimizers/adamw.ts'
import { batchesOf } from '../../src/train/packing.ts'
import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  measured,
  row,
} from '../../src/cli/bench/benchmark.ts'
import { deepOutcomes } from './learn-deep.ts'
import { slowOutcome, type SlowOutcome } from './learn-slow.ts'
import {
  generalText,
  seenTurns,
  type SeenTurn,
  type Stream,
  streamNames,
  streamOf,
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
  readonly looks?: readonly number[]
  /** Loss on a text that has nothing to do with the stream, after all of it. */
  readonly general?: number
}

const variants: Readonly<Record<string, StudentOptions>> = {
  'head rank 4': { fast: { rank: 4 }, memory: false },
  'head rank 16': { fast: { rank: 16 }, memory: false },
  memory: { fast: false },
  'head rank 4 and memory': { fast: { rank: 4 } },
  'head rank 16 and memory': { fast: { rank: 16 } },
}
const factors = [1 / 3, 0.6, 1, 1.7, 3]

const meanOf = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length
const secondHalf = (losses: readonly number[]): number => meanOf(losses.slice(losses.length >> 1))

async function streamed(
  model: LoadedModel,
  turns: readonly SeenTurn[],
  options: StudentOptions,
  general: readonly SeenTurn[] = [],
): Promise<Outcome> {
  const head = model.head()
  const student = createStudent(head, createHeadErrors(head), options)
  const losses: number[] = []
  const looks: number[] = []
  const times: number[] = []
  for (const turn of turns) {
    const start = performance.now()
    const sights = await student.look(turn.hidden, turn.keys)
    const looked = performance.now()
    const { losses: read } = await student.learn({ ...turn, sights })
    times.push(performance.now() - looked)
    looks.push(looked - start)
    losses.push(meanOf(read))
  }
  const others: number[] = []
  for (const turn of general) others.push(meanOf((await student.read(turn)).losses))
  return {
    loss: secondHalf(losses),
    times,
    looks,
    ...(general.length > 0 && { general: meanOf(others) }),
  }
}

/** A full step a turn: gradients through all layers for every linear layer's detour. */
async function fullSteps(
  model: LoadedModel,
  { turns }: Stream,
  progress: (text: string) => void,
): Promise<Outcome & { losses: number[] }> {
  const adapter = createAdapter(
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
      const [batch] = batchesOf({ rows: [turn], shared: 0 }, [[[0]]])
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
          `full step: turn ${i + 1}, the last 20 had ${meanOf(losses.slice(-20)).toFixed(3)}`,
        )
    }
  } finally {
    await program.dispose()
  }
  return { loss: secondHalf(losses), times, losses }
}

const signedShare = (value: number): string =>
  `${value < 0 ? '−' : '+'}${Math.abs(100 * value).toFixed(1)} %`
const lossRow = (name: string, loss: number, note: string): BenchmarkRow =>
  row({ name, unit: 'nats', higherIsBetter: false, ours: [loss], note })

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
    const general = await seenTurns(model, await generalText(model))
    for (const name of wanted)
      yield* measureStream(model, await streamOf(model, name, count), {
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

interface Asked {
  /** Turns of the full step; 0: none. */
  readonly fullCount: number
  /** Ranks for which five rates are tried. */
  readonly ranks: readonly number[]
  /** Whether what was learned is consolidated too. */
  readonly slow: boolean
  /** What must not get worse. */
  readonly general: readonly SeenTurn[]
  readonly progress: (text: string) => void
}

async function* measureStream(
  model: LoadedModel,
  stream: Stream,
  asked: Asked,
): AsyncIterable<BenchmarkRow> {
  const { fullCount, ranks, general, progress } = asked
  const { name } = stream
  progress(`${name}: hidden states of ${stream.turns.length} turns`)
  const turns = await seenTurns(model, stream)
  const { loss: frozen, general: before } = await streamed(
    model,
    turns,
    { fast: false, memory: false },
    general,
  )
  yield lossRow(`${name}: frozen`, frozen, `${stream.turns.length} turns`)
  const full =
    fullCount > 0
      ? await fullSteps(model, { name, turns: stream.turns.slice(0, fullCount) }, progress)
      : undefined
  // A share of the gain means something only where the full step saw the whole stream.
  const whole = full && fullCount >= stream.turns.length ? full.loss : undefined
  const fullMs = full && measured(full.times).median
  if (full)
    yield lossRow(
      `${name}: full LoRA step`,
      full.loss,
      `${Math.min(fullCount, stream.turns.length)} turns, ${fullMs!.toFixed(0)} ms each`,
    )
  const noted = ({ loss, times, looks, general: after }: Outcome): string => {
    const share =
      whole === undefined
        ? []
        : [`${((100 * (frozen - loss)) / (frozen - whole)).toFixed(0)} % of the full step’s gain`]
    const ms = measured(times).median
    return [
      ...share,
      `${ms.toFixed(1)} ms an update${fullMs === undefined ? '' : `: ${((100 * ms) / fullMs).toFixed(1)} % of its time`}`,
      ...(looks ? [`after ${measured(looks).median.toFixed(1)} ms that serving takes`] : []),
      ...(after === undefined ? [] : [`gsm8k ${signedShare(after / before! - 1)}`]),
    ].join(', ')
  }
  for (const [variant, options] of Object.entries(variants)) {
    progress(`${name}: ${variant}`)
    const outcome = await streamed(model, turns, options, general)
    yield lossRow(`${name}: ${variant}`, outcome.loss, noted(outcome))
  }
  for await (const { name: variant, losses, times, looks } of deepOutcomes(
    model,
    stream,
    ranks.length > 0 ? factors.map((factor) => 5e-3 * factor) : [],
    progress,
  ))
    yield lossRow(
      `${name}: ${variant}`,
      secondHalf(losses),
      noted({ loss: secondHalf(losses), times, looks }),
    )
  if (asked.slow) yield slowRow(await slowOutcome(model, stream, await generalText(model)), name)
  for (const rank of ranks) yield worstRate(model, turns, name, rank, progress)
}

function slowRow(
  { frozen, tiers, slow, general, taught, seconds }: SlowOutcome,
  name: string,
): BenchmarkRow {
  const kept = ((100 * (frozen - slow)) / (frozen - tiers)).toFixed(0)
  const note = `${kept} % of the tiers’ gain on 50 unseen turns (frozen ${frozen.toFixed(2)}, tiers ${tiers.toFixed(2)}) after ${taught}; gsm8k ${signedShare(general.after / general.before - 1)}; ${seconds.toFixed(0)} s`
  return lossRow(`${name}: consolidated, tiers emptied`, slow, note)
}

/** Five rates within ×3 of the default: the worst loss of them. */
async function worstRate(
  model: LoadedModel,
  turns: readonly SeenTurn[],
  name: string,
  rank: number,
  progress: (text: string) => void,
): Promise<BenchmarkRow> {
  const losses: number[] = []
  for (const factor of factors) {
    progress(`${name}: rank ${rank}, rate × ${factor.toFixed(2)}`)
    losses.push(
      (await streamed(model, turns, { fast: { rank, learningRate: 2e-3 * factor }, memory: false }))
        .loss,
    )
  }
  const note = `by rate ${losses.map((loss, i) => `${(2e-3 * factors[i]!).toPrecision(2)}: ${loss.toFixed(2)}`).join(', ')}`
  return lossRow(`${name}: head rank ${rank}, worst of five rates`, Math.max(...losses), note)
}

export const learn: Benchmark = {
  name: 'learn',
  summary:
    'loss on each of 300 turns before learning from it: fast tier and memory beside the frozen model and a full LoRA step a turn',
  needs:
    'the real SmolLM2-135M-Instruct; GRAFT_BENCH_LEARN_FULL=300: also the full step (minutes a stream); …_RATES=4,16: five rates for these ranks; …_SLOW=1: consolidation; …_TURNS, …_STREAMS: less',
  run: measure,
}

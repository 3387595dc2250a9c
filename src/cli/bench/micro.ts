// Times MicroLoRA on one core: forward, a step with a true gradient, the same with momentum and
// EWC, the reward of a signal, one token learned at the head of SmolLM2. The references are the
// plain JavaScript kernels of the package and straightforward loops, alternating with ours; then a
// whole turn of a learner, and Chromium, where it is installed.

import { hrtime } from 'node:process'
import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  toBenchmarkRow,
} from './benchmark.ts'
import {
  type Call,
  createForwardCall,
  inputs,
  microCases,
  computeQuantile,
  targets,
  timeBatches,
} from './micro-cases.ts'
import { measureTurns } from './micro-turn.ts'
import { runChromiumReference } from './reference.ts'

const readClock = (): number => Number(hrtime.bigint()) / 1000
const batch = { now: readClock, size: 40, batches: 400 } // for the median: the clock's own 50 ns are lost in 40 calls
// a batch for the 99th percentile: so short that few are interrupted by other programs
const tailUs = 8
const rounds = 12

/** The forward pass as one writes it first: arrays of rows, one loop in the other. */
function createNaiveForward(): Call {
  const a = inputs.slice(0, 2)
  const b = targets.slice(0, 2)
  const width = a[0]!.length
  const output = new Float32Array(width)
  return (i) => {
    const x = inputs[i & 7]!
    output.fill(0)
    for (let r = 0; r < a.length; r++) {
      let sum = 0
      for (let k = 0; k < width; k++) sum += a[r]![k]! * x[k]!
      for (let o = 0; o < width; o++) output[o]! += 2 * sum * b[r]![o]!
    }
  }
}

/**
 * Both sides in turn; of each round its median, and the 99th percentile in shares of the median.
 */
function compareCalls(
  own: Call,
  other?: Call,
): { own: number[]; other: number[]; tails: number[] } {
  for (const call of [own, own, other ?? own]) timeBatches(call, batch) // compiles
  const result = { own: [] as number[], other: [] as number[], tails: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    const median = computeQuantile(timeBatches(own, batch), 0.5)
    const tail = timeBatches(own, { ...batch, size: Math.max(1, Math.round(tailUs / median)) })
    result.own.push(median)
    result.tails.push(computeQuantile(tail, 0.99) / computeQuantile(tail, 0.5))
    if (other) result.other.push(computeQuantile(timeBatches(other, batch), 0.5))
  }
  return result
}

/** A token learned by the module alone, compared with the whole turn that a user waits for. */
async function measureWholeTurn(context: BenchmarkContext): Promise<BenchmarkRow> {
  context.progress('micro: a whole turn')
  const { name, times } = await measureTurns(readClock)
  const call = microCases.at(-1)!.make()
  timeBatches(call, batch) // compiles
  const module = Array.from({ length: rounds }, () =>
    computeQuantile(timeBatches(call, batch), 0.5),
  )
  return toBenchmarkRow({
    name: 'one token at the head, against a whole turn',
    unit: 'µs',
    higherIsBetter: false,
    ours: module,
    reference: { name: 'whole turn', values: times },
    note: `whole turn: ${name}; larger models take longer, the module does not`,
  })
}

/** The same calls in a browser, the same build, taking turns with this platform's Node. */
async function* measureInChromium(context: BenchmarkContext): AsyncIterable<BenchmarkRow> {
  for (const { name, node, chromium, kernels, version } of await runChromiumReference(
    'micro-chromium.ts',
    context,
  ))
    yield toBenchmarkRow({
      name: `${name}, in Chromium`,
      unit: 'µs',
      higherIsBetter: false,
      ours: chromium as number[],
      reference: { name: 'Node', values: node as number[] },
      goal: 0.5,
      note: `Chromium ${String(version)}, ${String(kernels)} kernels; best rounds ${Math.min(...(chromium as number[])).toFixed(2)} and ${Math.min(...(node as number[])).toFixed(2)} µs`,
    })
}

export const microBenchmark: Benchmark = {
  name: 'micro',
  summary:
    'MicroLoRA on one core: forward, true-gradient steps, a signal, a token at the head; against plain JavaScript, and in Chromium',
  needs:
    'nothing: plain JavaScript runs in the same process; Chromium (or CHROMIUM) and the sources for the rows of the browser',
  async *run(context): AsyncIterable<BenchmarkRow> {
    for (const { name, goalUs, usesKernels, make } of microCases) {
      context.progress(`micro: ${name}`)
      const { own, other, tails } = compareCalls(make(), usesKernels ? make('plain') : undefined)
      const note = `best round ${Math.min(...own).toFixed(2)} µs, aim ${goalUs} µs; p99 ${computeQuantile(tails, 0.5).toFixed(1)} × the median (${Math.min(...tails).toFixed(1)} in the best round), aim 3`
      yield toBenchmarkRow({
        name,
        unit: 'µs',
        higherIsBetter: false,
        ours: own,
        reference: { name: 'plain kernels', values: other },
        note,
      })
    }
    const { own, other } = compareCalls(createForwardCall(), createNaiveForward())
    yield toBenchmarkRow({
      name: 'forward, against naive loops',
      unit: 'µs',
      higherIsBetter: false,
      ours: own,
      reference: { name: 'naive JavaScript', values: other },
    })
    yield await measureWholeTurn(context)
    yield* measureInChromium(context)
  },
}

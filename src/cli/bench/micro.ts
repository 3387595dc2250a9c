// MicroLoRA on one core: forward, a step with a true gradient, the same with momentum and EWC, the
// worth of a signal, one token learned at the head of SmolLM2. Beside it the plain kernels of the
// same package and the loops one writes first, in turn; then Chromium, where there is one.

import { hrtime } from 'node:process'
import { type Benchmark, type BenchmarkContext, type BenchmarkRow, row } from './benchmark.ts'
import { type Call, forward, inputs, microCases, quantile, targets, timed } from './micro-cases.ts'
import { chromiumReference } from './reference.ts'

const now = (): number => Number(hrtime.bigint()) / 1000
const batch = { now, size: 40, batches: 400 } // for the median: the clock's own 50 ns are lost in 40 calls
// a batch for the 99th percentile: so short that few are interrupted by other programs
const tailUs = 8
const rounds = 12

/** The forward pass as one writes it first: arrays of rows, one loop in the other. */
function naiveForward(): Call {
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
function compared(own: Call, other?: Call): { own: number[]; other: number[]; tails: number[] } {
  for (const call of [own, own, other ?? own]) timed(call, batch) // compiles
  const result = { own: [] as number[], other: [] as number[], tails: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    const median = quantile(timed(own, batch), 0.5)
    const tail = timed(own, { ...batch, size: Math.max(1, Math.round(tailUs / median)) })
    result.own.push(median)
    result.tails.push(quantile(tail, 0.99) / quantile(tail, 0.5))
    if (other) result.other.push(quantile(timed(other, batch), 0.5))
  }
  return result
}

/** The same calls in a browser, the same build, taking turns with this platform's Node. */
async function* inChromium(context: BenchmarkContext): AsyncIterable<BenchmarkRow> {
  for (const { name, node, chromium, kernels, version } of await chromiumReference(
    'micro-chromium.ts',
    context,
  ))
    yield row({
      name: `${name}, in Chromium`,
      unit: 'µs',
      higherIsBetter: false,
      ours: chromium as number[],
      reference: { name: 'Node', values: node as number[] },
      goal: 0.5,
      note: `Chromium ${String(version)}, ${String(kernels)} kernels; best rounds ${Math.min(...(chromium as number[])).toFixed(2)} and ${Math.min(...(node as number[])).toFixed(2)} µs`,
    })
}

export const micro: Benchmark = {
  name: 'micro',
  summary:
    'MicroLoRA on one core: forward, true-gradient steps, a signal, a token at the head; beside plain JavaScript, and in Chromium',
  needs:
    'nothing: plain JavaScript runs in the same process; Chromium (or CHROMIUM) and the sources for the rows of the browser',
  async *run(context): AsyncIterable<BenchmarkRow> {
    for (const { name, goalUs, usesKernels, make } of microCases) {
      context.progress(`micro: ${name}`)
      const { own, other, tails } = compared(make(), usesKernels ? make('plain') : undefined)
      const note = `best round ${Math.min(...own).toFixed(2)} µs, aim ${goalUs} µs; p99 ${quantile(tails, 0.5).toFixed(1)} × the median (${Math.min(...tails).toFixed(1)} in the best round), aim 3`
      yield row({
        name,
        unit: 'µs',
        higherIsBetter: false,
        ours: own,
        reference: { name: 'plain kernels', values: other },
        note,
      })
    }
    const { own, other } = compared(forward(), naiveForward())
    yield row({
      name: 'forward, beside naive loops',
      unit: 'µs',
      higherIsBetter: false,
      ours: own,
      reference: { name: 'naive JavaScript', values: other },
    })
    yield* inChromium(context)
  },
}

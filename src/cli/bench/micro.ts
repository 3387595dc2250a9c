// MicroLoRA at 768 × 768, rank 2, on one core: forward, a step with a true gradient, the same with momentum and EWC. Beside it the plain kernels of the
// same package and the loops one writes first, in the same process, taking turns.

import { hrtime } from 'node:process'
import { type KernelName, MicroLora, type MicroLoraOptions } from '../../micro/index.ts'
import { type Benchmark, type BenchmarkRow, row } from './benchmark.ts'

const width = 768
const rank = 2
const batch = 40 // calls in one timing for the median: the clock's own 50 ns are lost in it
const tailBatch = 4 // and for the 99th percentile: so short that few are interrupted by other programs
const batches = 400
const rounds = 12

const vector = (seed: number): Float32Array => Float32Array.from({ length: width }, (_, i) => Math.sin(seed + 1.7 * i))
const inputs = Array.from({ length: 8 }, (_, i) => vector(i))
const targets = Array.from({ length: 8 }, (_, i) => vector(100 + i))

/** Something that is called again and again with the number of the call. */
type Call = (i: number) => void

/** Microseconds a call, of each batch. */
function timed(call: Call, size = batch): number[] {
  return Array.from({ length: batches }, () => {
    const start = hrtime.bigint()
    for (let i = 0; i < size; i++) call(i)
    return Number(hrtime.bigint() - start) / 1000 / size
  })
}

const quantile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]!

const loraOf = (options: MicroLoraOptions, kernels: KernelName | undefined): MicroLora => new MicroLora({ rank, inFeatures: width, outFeatures: width, ...options, kernels }) // prettier-ignore

function forward(kernels?: KernelName): Call {
  const lora = loraOf({}, kernels)
  const output = new Float32Array(width)
  return (i) => lora.forward(inputs[i & 7]!, output)
}

function step(kernels?: KernelName): Call {
  const lora = loraOf({}, kernels)
  return (i) => {
    lora.adapt(inputs[i & 7]!, { target: targets[i & 7]! })
    lora.applyUpdates(0.001)
  }
}

function fullStep(kernels?: KernelName): Call {
  const lora = loraOf({ momentum: 0.9, ewc: true }, kernels)
  lora.adapt(inputs[0]!, { target: targets[0]! })
  lora.applyUpdates(0.001)
  lora.consolidate()
  return (i) => {
    lora.adapt(inputs[i & 7]!, { target: targets[i & 7]! })
    lora.applyUpdatesWithEwc(0.001)
  }
}

/** The forward pass as one writes it first: arrays of rows, one loop in the other. */
function naiveForward(): Call {
  const [a, b] = [inputs.slice(0, rank), targets.slice(0, rank)]
  const output = new Float32Array(width)
  return (i) => {
    const x = inputs[i & 7]!
    output.fill(0)
    for (let r = 0; r < rank; r++) {
      let sum = 0
      for (let k = 0; k < width; k++) sum += a[r]![k]! * x[k]!
      for (let o = 0; o < width; o++) output[o]! += 2 * sum * b[r]![o]!
    }
  }
}

interface Case {
  readonly name: string
  readonly goalUs: number
  readonly make: (kernels?: KernelName) => Call
}

const cases: readonly Case[] = [
  { name: 'forward', goalUs: 0.5, make: forward },
  { name: 'step: adapt to a target and apply', goalUs: 3, make: step },
  { name: 'step with momentum and EWC', goalUs: 5, make: fullStep },
]

/** Both sides in turn; of each round its median and its 99th percentile. */
function compared(own: Call, other: Call): { own: number[]; other: number[]; tails: number[] } {
  timed(own)
  timed(other) // compiles
  const result = { own: [] as number[], other: [] as number[], tails: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    result.own.push(quantile(timed(own), 0.5))
    const tail = timed(own, tailBatch)
    result.tails.push(quantile(tail, 0.99) / quantile(tail, 0.5))
    result.other.push(quantile(timed(other), 0.5))
  }
  return result
}

export const micro: Benchmark = {
  name: 'micro',
  summary: 'MicroLoRA, 768 × 768, rank 2, one core: forward, true-gradient step, with momentum and EWC; beside plain JavaScript',
  needs: 'nothing: plain JavaScript runs in the same process',
  async *run({ progress }): AsyncIterable<BenchmarkRow> {
    for (const { name, goalUs, make } of cases) {
      progress(`micro: ${name}`)
      const { own, other, tails } = compared(make(), make('plain'))
      const note = `best round ${Math.min(...own).toFixed(2)} µs, aim ${goalUs} µs; p99 ${quantile(tails, 0.5).toFixed(1)} × the median (${Math.min(...tails).toFixed(1)} in the best round), aim 3`
      yield row({ name, unit: 'µs', higherIsBetter: false, ours: own, reference: { name: 'plain kernels', values: other }, note })
    }
    const { own, other } = compared(forward(), naiveForward())
    yield row({
      name: 'forward, beside naive loops',
      unit: 'µs',
      higherIsBetter: false,
      ours: own,
      reference: { name: 'naive JavaScript', values: other },
    })
  },
}

// The calls that `graft bench micro` times, for Node and for a page: without clock and platform.
// 768 × 768 at rank 2; the head of SmolLM2.

import { scoreSignal, createRewardRecord } from '../../learn/turns/reward.ts'
import { HeadRows, type KernelName, MicroLora, type MicroLoraOptions } from '../../micro/index.ts'

/** Something that is called again and again with the number of the call. */
export type Call = (i: number) => void

export interface MicroCase {
  readonly name: string
  readonly goalUs: number
  /** Whether it is slower with the plain kernels: the signal needs none. */
  readonly usesKernels: boolean
  readonly make: (kernels?: KernelName) => Call
}

const width = 768
const rank = 2
const headWidth = 576
const headRank = 4
const topTokens = 64
const vocabulary = 49_152
const knownRows = 1024 // of the head: the tokens one user's requests come back to

const generateVector = (seed: number, length = width): Float32Array =>
  Float32Array.from({ length }, (_, i) => Math.sin(seed + 1.7 * i))
export const inputs = Array.from({ length: 8 }, (_, i) => generateVector(i))
export const targets = Array.from({ length: 8 }, (_, i) => generateVector(100 + i))
const hidden = inputs.map((input) => input.slice(0, headWidth))

const createLora = (options: MicroLoraOptions, kernels: KernelName | undefined): MicroLora =>
  new MicroLora({ rank, inFeatures: width, outFeatures: width, ...options, kernels })

export function createForwardCall(kernels?: KernelName): Call {
  const lora = createLora({}, kernels)
  const output = new Float32Array(width)
  return (i) => lora.forward(inputs[i & 7]!, output)
}

function createStepCall(kernels?: KernelName): Call {
  const lora = createLora({}, kernels)
  return (i) => {
    lora.adapt(inputs[i & 7]!, { target: targets[i & 7]! })
    lora.applyUpdates(0.001)
  }
}

function createFullStepCall(kernels?: KernelName): Call {
  const lora = createLora({ momentum: 0.9, ewc: true }, kernels)
  lora.adapt(inputs[0]!, { target: targets[0]! })
  lora.applyUpdates(0.001)
  lora.consolidate()
  return (i) => {
    lora.adapt(inputs[i & 7]!, { target: targets[i & 7]! })
    lora.applyUpdatesWithEwc(0.001)
  }
}

/** Reward and advantage of the feedback on an answer, with all signals. */
function createRewardCall(): Call {
  const record = createRewardRecord()
  const signals = hidden.map((queryEmbedding, i) => ({
    quality: i / 8,
    latencyRatio: 0.5 + i / 8,
    tier: i % 2 === 0 ? 'base' : 'expert',
    contextTokens: 100 * i,
    queryEmbedding,
  }))
  return (i) => void scoreSignal(record, signals[i & 7]!)
}

/**
 * One token learned at the head: rows looked up, gradient of the cross-entropy, Adam's step of A
 * and B within a trust region.
 */
function createHeadUpdateCall(kernels?: KernelName): Call {
  const rows = new HeadRows({
    width: headWidth,
    capacity: knownRows,
    averageRow: generateVector(7, headWidth),
    ...(kernels && { kernels }),
  })
  const tokens = Array.from({ length: knownRows }, (_, i) => (i * 47) % vocabulary)
  for (const [i, token] of tokens.entries()) rows.add([token], generateVector(token + i, headWidth))
  const lora = new MicroLora({
    inFeatures: headWidth,
    outFeatures: headWidth,
    rank: headRank,
    alpha: headRank,
    optimizer: 'adam',
    kernels,
  })
  const gradient = new Float32Array(headWidth)
  const requests = hidden.map((_, i) => {
    const ids = Array.from(
      { length: topTokens },
      (_unused, k) => tokens[(i * 101 + k * 13) % knownRows]!,
    )
    return {
      ids,
      logits: Float32Array.from(ids, (_unused, k) => 10 - 0.2 * k),
      total: 12,
      came: ids[(i * 7) % topTokens]!,
    }
  })
  return (i) => {
    const request = requests[i & 7]!
    const input = hidden[i & 7]!
    if (rows.missing(request.ids).length > 0) throw new Error('internal: a row is not there')
    rows.gradient(request, gradient)
    lora.adapt(input, { gradient })
    lora.applyUpdates(0.002, { input, share: 0.1 })
  }
}

export const microCases: readonly MicroCase[] = [
  { name: 'forward', goalUs: 0.5, usesKernels: true, make: createForwardCall },
  { name: 'step: adapt to a target and apply', goalUs: 3, usesKernels: true, make: createStepCall },
  { name: 'step with momentum and EWC', goalUs: 5, usesKernels: true, make: createFullStepCall },
  { name: 'signal: reward and advantage', goalUs: 5, usesKernels: false, make: createRewardCall },
  {
    name: 'one token at the head: 64 most likely tokens, 576, rank 4',
    goalUs: 50,
    usesKernels: true,
    make: createHeadUpdateCall,
  },
]

/** Microseconds a call, of each of so many batches of `size` calls. `now` counts microseconds. */
export function timeBatches(
  call: Call,
  { now, size, batches }: { now: () => number; size: number; batches: number },
): number[] {
  return Array.from({ length: batches }, () => {
    const start = now()
    for (let i = 0; i < size; i++) call(i)
    return (now() - start) / size
  })
}

/** The quantile of that share. */
export const computeQuantile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]!

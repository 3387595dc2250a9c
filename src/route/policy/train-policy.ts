// Training of a policy: batches through its graph and gradients on any backend, Adam, a learning
// rate that rises and falls as a cosine. The same seed, data and backend give the same policy.

import { NumericError } from '../../base/errors.ts'
import { random, type Random } from '../../base/random.ts'
import type { F32Tensor, Tensor } from '../../base/tensor.ts'
import type { Backend, Program } from '../../compute/backend.ts'
import { adamw } from '../../train/optimizers/adamw.ts'
import { buildPolicyGradients, gradientOf } from './policy-graph.ts'
import {
  findLargest,
  initializePolicy,
  type PolicyShape,
  type PolicyWeights,
} from './policy-weights.ts'
import {
  createBatch,
  drawBatches,
  type BatchSettings,
  type PolicyExample,
  type TrainingBatch,
} from './training-batch.ts'
import { RowGradients } from './word-vectors.ts'

export interface PolicyTraining extends BatchSettings {
  readonly shape: PolicyShape
  readonly examples: readonly PolicyExample[]
  readonly epochs: number
  readonly batchSize: number
  readonly learningRate: number
  readonly seed: number
  readonly backend: Backend
  /** Changes the table before the first step. */
  readonly teach?: ((table: Float32Array) => void) | undefined
  readonly onEpoch?: (epoch: EpochReport, weights: PolicyWeights) => void
}

export interface EpochReport {
  readonly epoch: number
  /** Mean of the batches' losses. */
  readonly loss: number
  /** Share of examples that were right, under dropout. */
  readonly accuracy: number
}

const settings = adamw.complete({})
const warmUp = 0.05 // share of all steps
const mostNorm = 1 // of the gradient of all weights but the table

type Moments = Readonly<Record<'mean' | 'square', Float32Array>>

/** Weights, what Adam remembers of each, and the programs by number of words. */
class PolicyTrainer {
  readonly weights: Map<string, F32Tensor>
  readonly #training: PolicyTraining
  readonly #moments = new Map<string, Moments>()
  readonly #programs = new Map<number, Promise<Program>>()
  readonly #rows: RowGradients
  step = 0

  constructor(training: PolicyTraining, draw: Random) {
    this.#training = training
    const { shape } = training
    this.weights = initializePolicy(shape, draw)
    training.teach?.(this.weights.get('table')!.data)
    for (const [name, { data }] of this.weights)
      this.#moments.set(name, {
        mean: new Float32Array(data.length),
        square: new Float32Array(data.length),
      })
    this.#rows = new RowGradients(shape.buckets, shape.width)
  }

  /** One step; returns the loss and the experts' logits. */
  async learn(batch: TrainingBatch, learningRate: number): Promise<Map<string, Tensor>> {
    const program = await this.#compile(batch.steps)
    const results = await program.run(new Map([...batch.feeds, ...this.weights]))
    this.step++
    this.#updateWeights(results, learningRate)
    this.#updateTable(batch, results, learningRate)
    return results
  }

  async dispose(): Promise<void> {
    for (const program of this.#programs.values()) await (await program).dispose()
  }

  #compile(steps: number): Promise<Program> {
    const known = this.#programs.get(steps)
    if (known) return known
    const { shape, backend } = this.#training
    const made = backend.compile(buildPolicyGradients(shape, steps))
    this.#programs.set(steps, made)
    return made
  }

  #updateWeights(results: ReadonlyMap<string, Tensor>, learningRate: number): void {
    const gradients = [...this.weights.keys()].flatMap((name) => {
      const gradient = results.get(gradientOf(name))
      return gradient ? [[name, gradient.data as Float32Array] as const] : []
    })
    let squares = 0
    for (const [, data] of gradients) for (const value of data) squares += value * value
    const clip = Math.min(1, mostNorm / Math.sqrt(squares))
    if (!Number.isFinite(squares))
      throw new NumericError(
        `Router "policy": the gradient of step ${this.step} is not finite. Lower learningRate.`,
      )
    for (const [name, gradient] of gradients) {
      if (clip < 1) for (let i = 0; i < gradient.length; i++) gradient[i]! *= clip
      this.#update(name, gradient, learningRate, 0)
    }
  }

  /** Only rows that the batch touched move. */
  #updateTable(batch: TrainingBatch, results: ReadonlyMap<string, Tensor>, rate: number): void {
    const rows = this.#rows
    rows.clear()
    for (let t = 0; t < batch.steps; t++) {
      const gradient = results.get(gradientOf(`word${t}`))!.data as Float32Array
      const mask = batch.masks[t]!
      for (let i = 0; i < gradient.length; i++) gradient[i]! *= mask[i]!
      for (const [n, { words }] of batch.examples.entries())
        if (t < words.length)
          rows.add(words[t]!, gradient.subarray(n * rows.width, (n + 1) * rows.width))
    }
    for (const [place, row] of rows.rows.entries())
      this.#update('table', rows.at(place), rate, row * rows.width)
  }

  #update(name: string, gradient: Float32Array, learningRate: number, start: number): void {
    const { mean, square } = this.#moments.get(name)!
    const end = start + gradient.length
    adamw.update(
      {
        parameter: this.weights.get(name)!.data.subarray(start, end),
        gradient,
        shape: [gradient.length],
        state: { mean: mean.subarray(start, end), square: square.subarray(start, end) },
        step: this.step,
        learningRate,
      },
      settings,
    )
  }
}

/** Throws NumericError if the training diverges. */
export async function trainPolicy(training: PolicyTraining): Promise<PolicyWeights> {
  const { examples, epochs, batchSize, shape } = training
  const draw = random(training.seed)
  const trainer = new PolicyTrainer(training, draw)
  const right = examples.map(() => true)
  let planned = 0
  try {
    for (let epoch = 0; epoch < epochs; epoch++) {
      const batches = drawBatches(examples, batchSize, draw)
      planned ||= batches.length * epochs
      let loss = 0
      for (const numbers of batches) {
        const table = trainer.weights.get('table')!.data
        const own = numbers.map((i) => examples[i]!)
        const known = numbers.map((i) => right[i]!)
        const batch = createBatch(table, shape, own, known, training, draw)
        const results = await trainer.learn(batch, computeRate(training, trainer.step, planned))
        loss += (results.get('loss')!.data as Float32Array)[0]!
        const logits = results.get('expert')!.data as Float32Array
        for (const [n, i] of numbers.entries())
          right[i] =
            findLargest(logits.subarray(n * shape.experts, (n + 1) * shape.experts)) ===
            examples[i]!.expert
      }
      const accuracy = right.filter(Boolean).length / right.length
      training.onEpoch?.({ epoch, loss: loss / batches.length, accuracy }, trainer.weights)
    }
  } finally {
    await trainer.dispose()
  }
  return trainer.weights
}

/** Up evenly over the first steps, then down to 0 as a cosine. */
function computeRate({ learningRate }: PolicyTraining, step: number, planned: number): number {
  const rising = Math.max(1, Math.round(warmUp * planned))
  if (step < rising) return (learningRate * (step + 1)) / rising
  return (learningRate / 2) * (1 + Math.cos((Math.PI * (step - rising)) / (planned - rising)))
}

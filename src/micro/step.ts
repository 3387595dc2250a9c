// One step of one module from the gradients it gathered: clipping, averages, the bound on the step,
// decay, EWC. Knows no inputs and no feedback.

import { NumericError, OptionError } from '../base/errors.ts'
import type { KernelContext } from './kernels/context.ts'
import type { MicroLayout, SlotName } from './layout.ts'
import type { MicroLoraConfig } from './options.ts'

/** What a step needs of a module, and what it changes of it beside the heap. */
export interface SteppedModule {
  readonly name: string
  readonly config: MicroLoraConfig
  readonly context: KernelContext
  readonly layout: MicroLayout
  pendingUpdates: number
  steps: number
  lastMove: number
  consolidations: number
  watched: number
  /** Running mean squares of the input, then of the low-rank values. */
  readonly watchedAt: number
  slot(name: SlotName): number
}

/**
 * How far one step may move the output at an input, as a share of that input's length; before decay
 * and EWC.
 */
export interface TrustRegion {
  readonly input: Float32Array
  readonly share: number
}

/**
 * Length of the mean gradient. Throws NumericError where it is not finite: the gradients are
 * dropped then, the weights stay.
 */
export function measureGradient(module: SteppedModule, count: number): number {
  const { kernels } = module.context
  const length = Math.sqrt(kernels.squares(module.slot('gradient'), module.layout.slotSize)) / count
  if (length < Infinity) return length
  kernels.clear(module.slot('gradient'), module.layout.slotSize)
  module.pendingUpdates = 0
  throw new NumericError(
    `${module.name}: the gradient is too large for 32-bit numbers; it was dropped. Scale inputs and targets down.`,
  )
}

/**
 * With g the mean gradient, cut to the norm `clip`:
 *
 *     d = g,   or m / (1 − βᵗ) with m = βm + (1 − β)g,   or Adam's direction
 * w ← (1 − η·decay)·w − η′·d, η′ = min(η, trustRadius / ‖d‖), cut again where `within` (of the
 * scratch's x) asks for it
 *     w ← the proximal step of η·λ/2·Σ F(w − w*)²      (after a first task was consolidated)
 *
 * Throws NumericError where g is not finite; the weights are as they were, the gradients gone.
 */
export function stepModule(
  module: SteppedModule,
  count: number,
  learningRate: number,
  lambda: number,
  within = Infinity,
): void {
  const { context, config, layout } = module
  const { kernels } = context
  const weights = module.slot('weights')
  const gradient = module.slot('gradient')
  const size = layout.slotSize
  const norm = measureGradient(module, count)
  module.pendingUpdates = 0
  const share = norm > config.clip ? config.clip / (norm * count) : 1 / count
  module.steps++
  const length = computeDirection(module, share, norm * count * share)
  const inRadius =
    length * learningRate > config.trustRadius ? config.trustRadius / length : learningRate
  const at = config.optimizer === 'sgd' && config.momentum > 0 ? module.slot('momentum') : gradient
  const times = computeFactor(module, share)
  const rate =
    within < Infinity ? limitStep(module, at, inRadius * times, within) / times : inRadius
  let squared = kernels.move(weights, at, size, 1 - learningRate * config.decay, rate * times)
  if (at === gradient) kernels.clear(gradient, size)
  if (lambda > 0 && module.consolidations > 0)
    squared = kernels.pull(
      weights,
      module.slot('anchor'),
      module.slot('importance'),
      size,
      learningRate * lambda,
    )
  module.lastMove = (rate * length) / Math.max(Math.sqrt(squared), Number.MIN_VALUE)
}

const computeCorrection = (share: number, steps: number): number => 1 / (1 - share ** steps)

/** What the vector to move along is still to be multiplied by. */
function computeFactor({ config, steps }: SteppedModule, share: number): number {
  if (config.optimizer === 'adam') return 1
  return config.momentum > 0 ? computeCorrection(config.momentum, steps) : share
}

const halvings = 24 // of the part of a step that is kept: as fine as 32-bit weights

/**
 * The part of k up to which −k·d moves the output at the scratch's x by no more than `within`:
 *
 *     Δy = −k·p + k²·q     p = s·(dB·A·x + B·dA·x) + d_bias     q = s·dB·dA·x
 *
 * so ‖Δy‖² is a polynomial of k, and three passes through pairs of matrices give it for all k.
 */
function limitStep(module: SteppedModule, direction: number, k: number, within: number): number {
  const { context, config, layout } = module
  const { kernels, scratch } = context
  const { rank, inStride, outStride, parts } = layout
  const { x, y, t, u } = scratch
  const weights = module.slot('weights')
  const toB = parts[1]!.start
  const scale = config.alpha / config.rank
  const pass = (a: number, b: number, to: number): unknown =>
    kernels.forward(rank, a, b + toB, x, u, to, inStride, outStride, scale)
  if (parts[2]) kernels.copy(y, direction + parts[2].start, outStride)
  else kernels.clear(y, outStride)
  pass(weights, direction, y)
  pass(direction, weights, y)
  const ofP = kernels.squares(y, outStride)
  kernels.clear(t, outStride)
  pass(direction, direction, t)
  const ofQ = kernels.squares(t, outStride)
  kernels.subtract(y, t, outStride)
  const twiceBoth = ofP + ofQ - kernels.squares(y, outStride)
  const moves = (part: number): number =>
    part * Math.sqrt(Math.max(0, ofP - part * twiceBoth + part * part * ofQ))
  if (moves(k) <= within) return k
  let low = 0
  let high = k
  for (let i = 0; i < halvings; i++) {
    const middle = (low + high) / 2
    if (moves(middle) <= within) low = middle
    else high = middle // also where it is NaN
  }
  return low
}

/** Makes the direction where it is not the gradient itself; gives its length. */
function computeDirection(module: SteppedModule, share: number, norm: number): number {
  const { config, context, steps } = module
  const gradient = module.slot('gradient')
  const size = module.layout.slotSize
  const { momentum, secondMomentum, epsilon, optimizer } = config
  if (optimizer === 'adam') {
    const m = module.slot('momentum')
    const v = module.slot('secondMomentum')
    const first = computeCorrection(momentum, steps)
    const second = computeCorrection(secondMomentum, steps)
    return Math.sqrt(
      context.kernels.adam(
        gradient,
        m,
        v,
        size,
        share,
        momentum,
        secondMomentum,
        first,
        second,
        epsilon,
      ),
    )
  }
  if (momentum === 0) return norm
  const squared = context.kernels.average(
    module.slot('momentum'),
    gradient,
    size,
    momentum,
    (1 - momentum) * share,
  )
  return Math.sqrt(squared) * computeCorrection(momentum, steps)
}

/**
 * Ends a task for EWC: the weights become the anchor, and what the outputs of the inputs seen would
 * change by joins the importance,
 *
 * F(w) = mean over inputs of Σ_o (∂y_o/∂w)²: F(A_ri) = s²·‖B_r‖²·mean(x_i²) F(B_or) = mean(u_r²), u
 * = s·A·x F(bias) = 1
 * F ← keep·F + (1 − keep)·F(w), whole the first time online EWC: Schwarz et al. 2018,
 * arXiv:1805.06370
 *
 * This is the Fisher information of N(y, 1), not squared gradients of the loss: those vanish where
 * the task was learned, also for outputs that must stay zero, and protect nothing there. λ = 1
 * weighs a change of the old outputs as much as a squared error of the new ones.
 */
export function consolidateModule(module: SteppedModule): void {
  const { context, config, layout, watchedAt } = module
  if (!config.ewc) throw new OptionError(`${module.name}: consolidate needs the option ewc.`)
  const { kernels } = context
  const array = context.heap.array()
  const weights = module.slot('weights')
  const importance = module.slot('importance')
  const keep = module.consolidations > 0 ? config.ewcKeep : 0
  const scale = config.alpha / config.rank
  for (const { name, start, rows, length, stride } of layout.parts) {
    for (let r = 0; r < rows; r++) {
      const lengthOfB =
        name === 'A'
          ? kernels.squares(
              weights + layout.parts[1]!.start + r * layout.outStride,
              layout.outStride,
            )
          : 0
      const whole =
        name === 'A'
          ? scale * scale * lengthOfB
          : name === 'B'
            ? array[watchedAt + layout.inStride + r]!
            : 1
      const to = importance + start + r * stride
      for (let i = 0; i < length; i++)
        array[to + i] =
          keep * array[to + i]! + (1 - keep) * whole * (name === 'A' ? array[watchedAt + i]! : 1)
    }
  }
  kernels.clear(watchedAt, layout.watchedSize)
  kernels.copy(module.slot('anchor'), weights, layout.slotSize)
  module.watched = 0
  module.consolidations++
}

/** Refuses rates that cannot work, before anything changes. Throws OptionError. */
export function checkRate(learningRate: number, decay: number, lambda: number): void {
  if (!(typeof learningRate === 'number' && learningRate > 0 && learningRate <= 1e6))
    throw new OptionError(
      `learningRate: got ${learningRate}, expected a number above 0 and up to 1e6.`,
    )
  if (learningRate * decay >= 1)
    throw new OptionError(
      `learningRate: ${learningRate} with decay ${decay} would take all weights away.`,
    )
  if (!(typeof lambda === 'number' && lambda >= 0 && lambda <= 1e12))
    throw new OptionError(`lambda: got ${lambda}, expected a number from 0 to 1e12.`)
}

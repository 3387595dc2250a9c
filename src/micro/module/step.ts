// One step of one module from the gradients it accumulated: clipping, averages, the bound on the
// step, decay, EWC. Independent of: inputs, feedback.

import { NumericError, OptionError } from '../../base/errors.ts'
import type { ModuleMemory } from './memory.ts'
import { limitStep } from './trust-region.ts'

/** What a step needs of a module, and the counts it changes. */
export interface SteppedModule {
  readonly memory: ModuleMemory
  pendingUpdates: number
  /** Sum of the pending gradients' weights. */
  pendingWeight: number
  steps: number
  lastMove: number
  readonly consolidations: number
}

/**
 * Length of the mean gradient. Throws NumericError if it is not finite: the gradients are dropped
 * then, the weights stay.
 */
export function measureGradient(module: SteppedModule, count: number): number {
  const { context, layout, gradientOfA, name } = module.memory
  const { kernels } = context
  const length = Math.sqrt(kernels.squares(gradientOfA, layout.slotSize)) / count
  if (length < Infinity) return length
  kernels.clear(gradientOfA, layout.slotSize)
  module.pendingUpdates = 0
  module.pendingWeight = 0
  throw new NumericError(
    `${name}: the gradient is too large for 32-bit numbers; it was dropped. Scale inputs and targets down.`,
  )
}

/**
 * With g the mean gradient, cut to the norm `clip` times the gradients' mean weight:
 *
 *     d = g,   or m / (1 − βᵗ) with m = βm + (1 − β)g,   or Adam's direction
 *     w ← (1 − η·weightDecay)·w − η′·d, η′ = min(η, trustRadius / ‖d‖), cut again where `within` (of the
 *         scratch's x) asks for it
 *     w ← the proximal step of η·λ/2·Σ F(w − w*)²      (after a first task was consolidated)
 *
 * Throws NumericError where g is not finite; then the weights are unchanged, the gradients gone.
 */
export function stepModule(
  module: SteppedModule,
  learningRate: number,
  lambda: number,
  within = Infinity,
): void {
  const { memory, pendingUpdates: count } = module
  const { config, context, gradientOfA: gradient, layout } = memory
  const { kernels } = context
  const norm = measureGradient(module, count)
  const clip = config.clip * (module.pendingWeight / count)
  module.pendingUpdates = 0
  module.pendingWeight = 0
  const share = norm > clip ? clip / (norm * count) : 1 / count
  module.steps++
  const length = computeDirection(memory, module.steps, share, norm * count * share)
  const inRadius =
    length * learningRate > config.trustRadius ? config.trustRadius / length : learningRate
  const at = config.optimizer === 'sgd' && config.momentum > 0 ? memory.slot('momentum') : gradient
  const times = computeFactor(memory, module.steps, share)
  const rate =
    within < Infinity ? limitStep(memory, at, inRadius * times, within) / times : inRadius
  const keep = 1 - learningRate * config.weightDecay
  let squared = kernels.move(memory.a, at, layout.slotSize, keep, rate * times)
  if (at === gradient) kernels.clear(gradient, layout.slotSize)
  if (lambda > 0 && module.consolidations > 0) squared = moveToAnchor(memory, learningRate * lambda)
  module.lastMove = (rate * length) / Math.max(Math.sqrt(squared), Number.MIN_VALUE)
}

/** EWC's proximal step; Σ w² afterwards. */
const moveToAnchor = (memory: ModuleMemory, strength: number): number =>
  memory.context.kernels.pull(
    memory.a,
    memory.slot('anchor'),
    memory.slot('importance'),
    memory.layout.slotSize,
    strength,
  )

const computeCorrection = (share: number, steps: number): number => 1 / (1 - share ** steps)

/** What the vector to move along is still to be multiplied by. */
function computeFactor({ config }: ModuleMemory, steps: number, share: number): number {
  if (config.optimizer === 'adam') return 1
  return config.momentum > 0 ? computeCorrection(config.momentum, steps) : share
}

/**
 * Updates the averages with `share` times the gradient, of which `norm` is the length. Adam's
 * direction replaces the gradient. The direction's length.
 */
export function computeDirection(
  memory: ModuleMemory,
  steps: number,
  share: number,
  norm: number,
): number {
  const { config, context, gradientOfA: gradient, layout } = memory
  const { momentum, secondMomentum, epsilon, optimizer } = config
  if (optimizer === 'adam')
    return Math.sqrt(
      context.kernels.adam(
        gradient,
        memory.slot('momentum'),
        memory.slot('secondMomentum'),
        layout.slotSize,
        share,
        momentum,
        secondMomentum,
        computeCorrection(momentum, steps),
        computeCorrection(secondMomentum, steps),
        epsilon,
      ),
    )
  if (momentum === 0) return norm
  const squared = context.kernels.average(
    memory.slot('momentum'),
    gradient,
    layout.slotSize,
    momentum,
    (1 - momentum) * share,
  )
  return Math.sqrt(squared) * computeCorrection(momentum, steps)
}

/** Refuses rates that cannot work, before anything changes. Throws OptionError. */
export function checkRate(learningRate: number, weightDecay: number, lambda: number): void {
  if (!(typeof learningRate === 'number' && learningRate > 0 && learningRate <= 1e6))
    throw new OptionError(
      `learningRate: got ${learningRate}, expected a number above 0 and at most 1e6.`,
    )
  if (learningRate * weightDecay >= 1)
    throw new OptionError(
      `learningRate: got ${learningRate}, expected less than 1 / weightDecay (${weightDecay}), because more would erase all weights.`,
    )
  if (!(typeof lambda === 'number' && lambda >= 0 && lambda <= 1e12))
    throw new OptionError(`lambda: got ${lambda}, expected a number from 0 to 1e12.`)
}

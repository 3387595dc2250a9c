// Outputs with noise, remembered until their reward arrives, and the gradient that a reward gives:
// REINFORCE (Williams 1992). Without noise a reward could not show in which direction better
// outputs are.

import { NumericError, OptionError, ShapeError } from '../base/errors.ts'
import type { Feedback } from './feedback.ts'
import type { Emission } from './files/saved-emissions.ts'
import type { MicroModule } from './module/module.ts'
import { computePolicyGradient } from './policy.ts'
import { RecentMap } from './recent-map.ts'

const rememberedEmissions = 256 // sessions whose last explored output waits for its reward

/** The module's length comes first, because names and sessions may hold spaces. */
const toEmissionKey = (module: string, session: string): string =>
  `${module.length} ${module} ${session}`

/**
 * How far feedback of a reward may move: a quality of 1 against a baseline of ½ twice as far as ¾.
 */
const computeWeight = (advantage: number): number => Math.min(1, Math.abs(advantage))

export class Exploration {
  readonly #emissions = new RecentMap<Emission>(rememberedEmissions)
  readonly #errors = new Map<string, Float32Array>()

  /** base + the module's output, where `adds`, + noise; remembered by session. */
  emit(
    module: MicroModule,
    input: Float32Array,
    { base, adds, session }: { base: Float32Array | undefined; adds: boolean; session: string },
  ): Float32Array {
    if (base !== undefined) checkBase(module, base)
    const emitted = module.forward(input)
    for (let i = 0; i < emitted.length; i++)
      emitted[i] =
        (adds ? emitted[i]! : 0) +
        (base?.[i] ?? 0) +
        module.config.exploration * module.noise.normal()
    this.#remember({ module: module.name, session, values: emitted.slice() })
    return emitted
  }

  /**
   * What the feedback is about: the output it names, or the session's last one. Throws OptionError
   * if there is neither.
   */
  find(
    module: MicroModule,
    { emitted, explored, sessionId = '' }: Feedback,
  ): Float32Array | number {
    const found = emitted ?? this.#emissions.get(toEmissionKey(module.name, sessionId))?.values
    if (found !== undefined) return found
    throw new OptionError(
      explored
        ? `feedback: explored: no output of module ${JSON.stringify(module.name)} waits for a reward in session ${JSON.stringify(sessionId)}; call lora.explore(input, { sessionId }) first, once for each reward.`
        : 'feedback: a reward, quality or verdict alone says how good an output was, not in which direction a better one is. Give one of these too: target (what the output should have been), emitted (the output that was given, or the number of its class), explored: true (after lora.explore made the output), gradient (∂L/∂y).',
    )
  }

  /**
   * Accumulates the gradient of L = −advantage · log π(emitted | base + y) and returns L; the
   * session's output is then forgotten.
   */
  reinforce(
    module: MicroModule,
    input: Float32Array,
    feedback: Feedback,
    advantage: number,
  ): number {
    const { base, emitted, sessionId = '' } = feedback
    const tried = this.find(module, feedback)
    const error = this.#getErrorArray(module)
    if (base === undefined) module.forward(input, error)
    else {
      checkBase(module, base)
      error.set(base)
      module.forwardAdd(input, error)
    }
    const loss = computePolicyGradient(error, tried, advantage, module.config.exploration)
    module.accumulate(input, error, computeWeight(advantage))
    if (emitted === undefined) this.#emissions.delete(toEmissionKey(module.name, sessionId))
    return loss
  }

  #remember(emission: Emission): void {
    this.#emissions.set(toEmissionKey(emission.module, emission.session), emission)
  }

  /** The outputs that wait for their reward, the oldest first. */
  list(): readonly Emission[] {
    return [...this.#emissions.values()]
  }

  /** Replaces all outputs. */
  restore(emissions: readonly Emission[]): void {
    this.#emissions.clear()
    for (const emission of emissions) this.#remember(emission)
  }

  /** Forgets all outputs. */
  clear(): void {
    this.#emissions.clear()
  }

  /** Room for ∂L/∂y, kept for the next call. */
  #getErrorArray({ name, layout }: MicroModule): Float32Array {
    const found = this.#errors.get(name)
    if (found) return found
    const error = new Float32Array(layout.outFeatures)
    this.#errors.set(name, error)
    return error
  }
}

function checkBase({ name, layout: { outFeatures } }: MicroModule, base: Float32Array): void {
  if (!(base instanceof Float32Array) || base.length !== outFeatures)
    throw new ShapeError(
      `${name}: base: got ${(base as Float32Array | null)?.length} values, expected ${outFeatures} in a Float32Array.`,
    )
  const at = base.findIndex((value) => !Number.isFinite(value))
  if (at >= 0) throw new NumericError(`${name}: base is ${base[at]} at ${at}; nothing was changed.`)
}

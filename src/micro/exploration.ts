// Outputs with noise, remembered until their reward arrives, and the gradient that a reward gives:
// REINFORCE (Williams 1992). Without noise a reward could not tell in which direction better is.

import { NumericError, OptionError, ShapeError } from '../base/errors.ts'
import type { Feedback } from './feedback.ts'
import type { Emission } from './files/saved-emissions.ts'
import type { MicroModule } from './module/module.ts'
import { computePolicyGradient } from './policy.ts'

const rememberedEmissions = 256 // sessions whose last explored output waits for its reward

/** The module's length comes first, because names and sessions may hold spaces. */
const toEmissionKey = (module: string, session: string): string =>
  `${module.length} ${module} ${session}`

export class Exploration {
  readonly #emissions = new Map<string, Emission>()
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
    const key = toEmissionKey(module.name, session)
    this.#emissions.delete(key)
    this.#emissions.set(key, { module: module.name, session, values: emitted.slice() })
    for (const oldest of this.#emissions.keys())
      if (this.#emissions.size > rememberedEmissions) this.#emissions.delete(oldest)
    return emitted
  }

  /**
   * What the feedback is about: the output it names, or the session's last one. Throws OptionError
   * where there is neither.
   */
  find(module: MicroModule, { emitted, sessionId = '' }: Feedback): Float32Array | number {
    const found = emitted ?? this.#emissions.get(toEmissionKey(module.name, sessionId))?.values
    if (found !== undefined) return found
    throw new OptionError(
      'feedback: a reward alone says how good it was, not in which direction better lies: give what was emitted, a target or a gradient, or let `explore` make the output.',
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
    module.accumulate(input, error)
    if (emitted === undefined) this.#emissions.delete(toEmissionKey(module.name, sessionId))
    return loss
  }

  /** The outputs that wait for their reward, the oldest first. */
  list(): readonly Emission[] {
    return [...this.#emissions.values()]
  }

  /** Replaces all outputs. */
  restore(emissions: readonly Emission[]): void {
    this.#emissions.clear()
    for (const emission of emissions)
      this.#emissions.set(toEmissionKey(emission.module, emission.session), emission)
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

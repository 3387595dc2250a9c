// Names of registered experts: the current version of each, and which are pinned.

import { NotFoundError } from '../../../base/errors.ts'
import { findNearestName } from '../../../base/suggest.ts'
import type { ExpertVersion } from './pooled-expert.ts'

export class ExpertNames {
  readonly pins = new Set<string>()
  readonly #current = new Map<string, { readonly version: ExpertVersion; readonly call: number }>()
  readonly #counts = new Map<string, number>()

  get size(): number {
    return this.#current.size
  }

  /** Throws NotFoundError for a name that is not registered. */
  get(name: string): ExpertVersion {
    const current = this.#current.get(name)
    if (current) return current.version
    const names = [...this.#current.keys()]
    const meant = findNearestName(name, names)
    const hint = meant === undefined ? '' : ` Did you mean "${meant}"?`
    throw new NotFoundError(
      `No adapter is registered as "${name}".${hint} There are ${names.length === 0 ? 'none' : names.join(', ')}.`,
    )
  }

  list(): readonly ExpertVersion[] {
    return [...this.#current.values()].map(({ version }) => version)
  }

  /** Returns the number of a name's next version. */
  countVersion(name: string): number {
    const count = (this.#counts.get(name) ?? 0) + 1
    this.#counts.set(name, count)
    return count
  }

  /**
   * Makes a version current and returns the previous one. `call` rises with every registration: if
   * a later call has already finished, its version stays, and the given one is returned.
   */
  replace(version: ExpertVersion, call: number): ExpertVersion | undefined {
    const name = version.handle.name!
    const old = this.#current.get(name)
    if (old && old.call > call) return version
    this.#current.set(name, { version, call })
    return old?.version
  }

  /** Removes a name and its pin. */
  remove(name: string): ExpertVersion {
    const version = this.get(name)
    this.#current.delete(name)
    this.#counts.delete(name)
    this.pins.delete(name)
    return version
  }
}

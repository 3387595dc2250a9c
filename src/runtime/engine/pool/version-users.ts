// The users of each version of an expert: leases, and claims of requests that will acquire a lease.
// Independent of slots.

import { OptionError } from '../../../base/errors.ts'
import type { Lease } from './adapter-pool.ts'
import type { ExpertVersion } from './pooled-expert.ts'

export class VersionUsers {
  readonly #leases = new Map<Lease, ExpertVersion>()
  /** Versions that have claims. */
  readonly #claimed = new Set<ExpertVersion>()

  get leases(): readonly Lease[] {
    return [...this.#leases.keys()]
  }

  addLease(lease: Lease, version: ExpertVersion): void {
    version.users++
    this.#leases.set(lease, version)
  }

  /** Ends a lease and returns its version. Call `finish` once the memory is released. */
  takeLease(lease: Lease): ExpertVersion {
    const version = this.#leases.get(lease)
    if (!version)
      throw new OptionError('release: this lease was released already, or belongs to another pool.')
    this.#leases.delete(lease)
    return version
  }

  claim(version: ExpertVersion): void {
    version.users++
    version.claims++
    this.#claimed.add(version)
  }

  unclaim(version: ExpertVersion): void {
    if (--version.claims === 0) this.#claimed.delete(version)
    this.finish(version)
  }

  /** Removes one user; `waitFor` resolves after the last one. */
  finish(version: ExpertVersion): void {
    if (--version.users === 0) for (const resolve of version.waiting.splice(0)) resolve()
  }

  /** Versions of this name that have users. */
  listNamed(name: string): readonly ExpertVersion[] {
    return [...this.#leases.values(), ...this.#claimed].filter(({ handle }) => handle.name === name)
  }

  /** Sums that have users, of which an expert of this name is part. */
  listSums(name: string): readonly ExpertVersion[] {
    return [...this.#leases.values(), ...this.#claimed].filter(({ parts }) =>
      parts.some(({ handle }) => handle.name === name),
    )
  }

  /** Resolves when none of these versions has users. */
  async waitFor(versions: Iterable<ExpertVersion>): Promise<void> {
    await Promise.all(
      [...versions]
        .filter(({ users }) => users > 0)
        .map(({ waiting }) => new Promise<void>((resolve) => void waiting.push(resolve))),
    )
  }
}

// Versions of registered experts in a server's memory, each under the name `id@version`. They are
// loaded when a request needs them; the least recently used ones are evicted.

import type { ResolvedExpert } from '../../registry/registry.ts'
import { RequestError } from '../request-error.ts'
import { toRequestError } from '../error-response.ts'
import type { Service } from '../service.ts'

export interface ResidentParts {
  readonly service: Service
  /** Limit in bytes of the files of idle experts. */
  readonly maxBytes: number
}

interface Resident {
  readonly hash: string
  readonly sizeBytes: number
  /** Resolves when requests may use it. */
  readonly loading: Promise<unknown>
  /** Requests that use it now. */
  users: number
  lastUsed: number
  isPinned: boolean
  /** Whether it was removed from the registry; it is unloaded when its last request ends. */
  isRemoved: boolean
}

/** A version that stays in memory until `release` is called, once. */
export interface ResidentHold {
  readonly name: string
  release(): Promise<void>
}

/** The name of a version in the server's memory. */
export const toResidentName = ({ id, version }: Pick<ResolvedExpert, 'id' | 'version'>): string =>
  `${id}@${version}`

export class ResidentVersions {
  readonly #parts: ResidentParts
  readonly #residents = new Map<string, Resident>()
  #clock = 0

  constructor(parts: ResidentParts) {
    this.#parts = parts
  }

  has({ id, version, hash }: Pick<ResolvedExpert, 'id' | 'version' | 'hash'>): boolean {
    return this.#residents.get(`${id}@${version}`)?.hash === hash
  }

  hasName(name: string): boolean {
    return this.#residents.has(name)
  }

  /**
   * Makes a version resident and keeps it until the hold is released. Throws a RequestError that
   * names it if loading fails; then nothing has changed.
   */
  async hold(found: ResolvedExpert): Promise<ResidentHold> {
    const name = toResidentName(found)
    let resident = this.#residents.get(name)
    if (resident?.hash !== found.hash) {
      resident = this.#load(name, found, resident !== undefined)
      this.#residents.set(name, resident)
    }
    resident.users++
    resident.lastUsed = ++this.#clock
    try {
      await resident.loading
    } catch (error) {
      resident.users--
      if (this.#residents.get(name) === resident) this.#residents.delete(name)
      throw error
    }
    await this.#makeRoom()
    const held = resident
    return { name, release: () => this.#release(name, held) }
  }

  #load(name: string, found: ResolvedExpert, replace: boolean): Resident {
    const { location: path, hash, sizeBytes } = found
    const loading = this.#parts.service
      .loadExpert({ name, path, sha256: hash, replace })
      .catch((error: unknown) => {
        throw describeFailure(name, error)
      })
    return {
      hash,
      sizeBytes,
      loading,
      users: 0,
      lastUsed: 0,
      isPinned: false,
      isRemoved: false,
    }
  }

  async #release(name: string, resident: Resident): Promise<void> {
    resident.users--
    if (this.#residents.get(name) !== resident) return // others took its place
    if (resident.isRemoved && resident.users === 0) await this.#unload(name)
    else await this.#makeRoom()
  }

  /** Drops a version that the registry no longer has; its running requests finish on it. */
  async drop(name: string): Promise<void> {
    const resident = this.#residents.get(name)
    if (!resident) return
    resident.isRemoved = true
    if (resident.users === 0) await this.#unload(name)
  }

  pin(name: string, isPinned: boolean): void {
    const resident = this.#residents.get(name)
    if (resident) resident.isPinned = isPinned
  }

  /** A client has unloaded it. */
  forget(name: string): void {
    this.#residents.delete(name)
  }

  /** A restarted worker could not load it: the next request tries again. */
  forgetLost(names: readonly string[], error: unknown): void {
    if (toRequestError(error).code !== 'model_not_found') return
    for (const name of names) this.#residents.delete(name)
  }

  async #makeRoom(): Promise<void> {
    for (;;) {
      const all = [...this.#residents]
      const bytes = all.reduce((sum, [, { sizeBytes }]) => sum + sizeBytes, 0)
      const [oldest] = all
        .filter(([, { users, isPinned }]) => users === 0 && !isPinned)
        .sort(([, a], [, b]) => a.lastUsed - b.lastUsed)
      if (bytes <= this.#parts.maxBytes || !oldest) return
      await this.#unload(oldest[0])
    }
  }

  async #unload(name: string): Promise<void> {
    this.#residents.delete(name)
    await this.#parts.service.unloadExpert(name)
  }
}

function describeFailure(name: string, cause: unknown): RequestError {
  const { message, status, type, code } = toRequestError(cause)
  return new RequestError(
    `The expert ${JSON.stringify(name)} of the registry cannot be loaded: ${message}`,
    { status, type, code, param: 'model' },
    { cause },
  )
}

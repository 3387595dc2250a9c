// Loads the experts that sessions will probably ask next: passes predictions from the history to
// the pool, and counts their success.

import { integer, number, readOptions, type GivenOptions } from '../../base/schema.ts'
import { NextExperts } from './next-experts.ts'

/** The store of experts: `engine.experts` is one. */
export interface PreloadingPool {
  /** False if there is no room. */
  preload(name: string): Promise<boolean>
}

const fields = {
  most: integer({
    from: 1,
    default: 1,
    about: 'Experts loaded ahead of a session’s next request.',
  }),
  least: number({
    from: 0,
    to: 1,
    default: 0.2,
    about: 'Experts that are less likely to be asked next are not loaded.',
  }),
}

export type PreloadOptions = GivenOptions<typeof fields>

export interface PreloaderParts {
  readonly pool: PreloadingPool
  /** Experts in memory now: loading one of these saves nothing. */
  readonly resident: () => readonly string[]
  /** Milliseconds. */
  readonly now: () => number
  readonly next?: NextExperts | undefined
}

export interface PreloadStatistics {
  /** Requests for an expert. */
  readonly requests: number
  /** Those whose expert was in memory because it had been loaded ahead. */
  readonly hits: number
  /** Those whose expert was in memory anyway. */
  readonly resident: number
  readonly loads: number
  /** Loads whose expert was not asked before it was loaded ahead again, or is still waiting. */
  readonly wasted: number
  readonly failed: number
  /** Milliseconds that loading took ahead of requests that then hit. */
  readonly savedMs: number
}

/** Hits among the requests that would have waited without it: 0–1. */
export const computeHitRate = ({ requests, hits, resident }: PreloadStatistics): number =>
  requests === resident ? 0 : hits / (requests - resident)

/** Loads ahead by what sessions ask. Throws OptionError for wrong options. */
export class Preloader {
  readonly next: NextExperts
  readonly #parts: PreloaderParts
  readonly #options: Required<PreloadOptions>
  /** Loaded ahead and not asked yet → milliseconds that it took. */
  readonly #waiting = new Map<string, number>()
  readonly #counts = { requests: 0, hits: 0, resident: 0, loads: 0, failed: 0, savedMs: 0 }

  constructor(parts: PreloaderParts, options: PreloadOptions = {}) {
    this.#parts = parts
    this.next = parts.next ?? new NextExperts()
    this.#options = readOptions('Options of preloading', options, fields)
  }

  /**
   * A session's request goes to an expert (undefined: the base). Call it before the expert is
   * loaded; the promise resolves when the predicted experts are loaded, and never rejects.
   */
  async note(session: string, expert: string | undefined): Promise<void> {
    if (expert !== undefined) this.#judge(expert)
    this.next.note(session, expert)
    const { most, least } = this.#options
    const likely = this.next.predict(session, most).filter(({ score }) => score >= least)
    for (const { expert: name } of likely)
      if (name !== expert && !this.#parts.resident().includes(name)) await this.#load(name)
  }

  get statistics(): PreloadStatistics {
    const { requests, hits, resident, loads, failed, savedMs } = this.#counts
    return { requests, hits, resident, loads, wasted: loads - hits, failed, savedMs }
  }

  #judge(expert: string): void {
    this.#counts.requests++
    const took = this.#waiting.get(expert)
    this.#waiting.delete(expert)
    if (!this.#parts.resident().includes(expert)) return
    if (took === undefined) this.#counts.resident++
    else {
      this.#counts.hits++
      this.#counts.savedMs += took
    }
  }

  async #load(name: string): Promise<void> {
    const { pool, now } = this.#parts
    const start = now()
    try {
      if (!(await pool.preload(name))) return
      this.#counts.loads++
      this.#waiting.set(name, now() - start)
    } catch {
      // a name that was unloaded meanwhile: the request that asks for it reports it
      this.#counts.failed++
    }
  }
}

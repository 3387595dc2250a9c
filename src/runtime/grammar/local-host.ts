// Masks computed in this thread. Compiling blocks it: 5 to 30 ms for most grammars and 50,000 tokens,
// up to seconds for long counted strings.

import { assertInternal, GraftError, UnsupportedError } from '../../base/errors.ts'
import { type CacheLimits, GrammarCache } from './grammar-cache.ts'
import type {
  GrammarHost,
  GrammarRequest,
  GrammarStatistics,
  TokenMatcher,
} from './grammar-host.ts'
import type { LibraryMatcher, LibraryOpener } from './library.ts'

export interface LocalHostOptions extends Partial<CacheLimits> {
  /** Milliseconds. */
  readonly now?: (() => number) | undefined
  /** An instance whose memory has grown beyond this is replaced; its open matchers keep it. */
  readonly memoryBytes?: number | undefined
}

const DEFAULT_LIMITS: CacheLimits = { grammars: 64, vocabularies: 4 }
const DEFAULT_MEMORY_BYTES = 2 ** 29

class LocalHost implements GrammarHost {
  readonly #open: LibraryOpener
  readonly #options: LocalHostOptions
  readonly #totals = { compilations: 0, compileMs: 0, hits: 0, failures: 0 }
  #cache: Promise<GrammarCache> | undefined
  #current: GrammarCache | undefined
  #matchers = 0
  #isDisposed = false

  constructor(open: LibraryOpener, options: LocalHostOptions) {
    this.#open = open
    this.#options = options
  }

  get statistics(): GrammarStatistics {
    const { compilations = 0, compileMs = 0, hits = 0, size = 0 } = this.#current ?? {}
    const totals = this.#totals
    return {
      compiled: size,
      matchers: this.#matchers,
      compilations: totals.compilations + compilations,
      compileMs: totals.compileMs + compileMs,
      hits: totals.hits + hits,
      failures: totals.failures,
    }
  }

  async open(request: GrammarRequest): Promise<TokenMatcher> {
    const matcher = new LocalMatcher(this, request)
    this.#matchers++
    try {
      await matcher.ready()
    } catch (error) {
      matcher.close()
      throw error
    }
    return matcher
  }

  /** The instance that compiles now. */
  async getCache(): Promise<GrammarCache> {
    if (this.#isDisposed) throw new UnsupportedError('The host of grammars was closed.')
    const { memoryBytes = DEFAULT_MEMORY_BYTES } = this.#options
    if ((this.#current?.opened.memoryBytes?.() ?? 0) > memoryBytes) this.#retire()
    this.#cache ??= this.#createCache()
    return this.#cache
  }

  async #createCache(): Promise<GrammarCache> {
    const { now = () => performance.now(), grammars, vocabularies } = this.#options
    const limits = {
      grammars: grammars ?? DEFAULT_LIMITS.grammars,
      vocabularies: vocabularies ?? DEFAULT_LIMITS.vocabularies,
    }
    const cache = new GrammarCache(await this.#open(), limits, now)
    this.#current = cache
    return cache
  }

  /** Called after the instance threw: its memory may be corrupt, so it is not used again. */
  replace(cache: GrammarCache): void {
    if (cache !== this.#current) return
    this.#totals.failures++
    this.#retire()
  }

  #retire(): void {
    const { compilations = 0, compileMs = 0, hits = 0 } = this.#current ?? {}
    this.#totals.compilations += compilations
    this.#totals.compileMs += compileMs
    this.#totals.hits += hits
    this.#current = undefined
    this.#cache = undefined
  }

  leave(): void {
    this.#matchers--
  }

  dispose(): Promise<void> {
    this.#isDisposed = true
    this.#retire()
    return Promise.resolve()
  }
}

/**
 * One answer's matcher. If its instance of the library fails, the matcher is rebuilt from its
 * tokens.
 */
class LocalMatcher implements TokenMatcher {
  readonly #host: LocalHost
  readonly #request: GrammarRequest
  /** Tokens so far, and how many of them the library's matcher has taken. */
  readonly #ids: number[] = []
  #taken = 0
  #matcher: LibraryMatcher | undefined
  #cache: GrammarCache | undefined
  #computing: Promise<void> | undefined
  #isClosed = false
  mask: Int32Array | undefined

  constructor(host: LocalHost, request: GrammarRequest) {
    this.#host = host
    this.#request = request
  }

  ready(): Promise<void> {
    this.#computing ??= this.#compute()
    return this.#computing
  }

  accept(id: number): void {
    this.#ids.push(id)
    this.mask = undefined
    this.#computing = undefined
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#host.leave()
    // A running computation may need it until then.
    void (this.#computing ?? Promise.resolve()).catch(() => undefined).then(() => this.#dispose())
  }

  async #compute(): Promise<void> {
    for (let tries = 2; ; tries--) {
      const cache = (this.#cache ??= await this.#host.getCache())
      try {
        this.mask = await this.#computeMask(cache)
        return
      } catch (error) {
        this.#host.replace(cache)
        this.#matcher = undefined
        this.#cache = undefined
        this.#taken = 0
        // Another grammar may have corrupted the instance: tries once more in a new one.
        if (tries === 1) throw describeFailure(error, cache)
      }
    }
  }

  async #computeMask(cache: GrammarCache): Promise<Int32Array> {
    this.#matcher ??= await cache.open(this.#request)
    for (; this.#taken < this.#ids.length; this.#taken++) {
      const id = this.#ids[this.#taken]!
      assertInternal(this.#matcher.acceptToken(id), `the grammar does not allow token ${id}`)
    }
    return this.#matcher.getNextTokenBitmask()
  }

  #dispose(): void {
    try {
      this.#matcher?.dispose()
    } catch {
      // Its instance has failed and is not used again.
    }
    this.#matcher = undefined
  }
}

function describeFailure(error: unknown, { opened }: GrammarCache): unknown {
  if (GraftError.isInstance(error)) return error
  const message = opened.takeMessages?.() || String(error)
  return new UnsupportedError(
    `The grammar could not be compiled: ${message.slice(0, 500)}. Make it smaller or simpler.`,
  )
}

/** A host in this thread, over instances that `open` gives. */
export const createLocalHost = (open: LibraryOpener, options: LocalHostOptions = {}): GrammarHost =>
  new LocalHost(open, options)

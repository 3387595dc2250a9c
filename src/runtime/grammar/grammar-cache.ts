// Compiled grammars of one instance of the library, bounded by their number and the memory they
// take. Independent of threads.

import type {
  Disposable,
  GrammarLibrary,
  LibraryCompiler,
  LibraryMatcher,
  OpenLibrary,
} from './library.ts'
import type { GrammarRequest } from './grammar-host.ts'
import type { Vocabulary } from './vocabulary.ts'

export interface CacheLimits {
  /** Compiled grammars that are kept. */
  readonly grammars: number
  /** Tokenizers whose vocabulary is kept. */
  readonly vocabularies: number
}

interface Prepared {
  readonly info: Disposable
  readonly compiler: LibraryCompiler
}

/** A map that evicts the least recently used entries. */
class RecentMap<Value> {
  readonly #values = new Map<string, Value>()
  readonly #limit: number
  readonly #drop: (value: Value) => void

  constructor(limit: number, drop: (value: Value) => void) {
    this.#limit = limit
    this.#drop = drop
  }

  get size(): number {
    return this.#values.size
  }

  get(key: string): Value | undefined {
    const value = this.#values.get(key)
    if (value === undefined) return undefined
    this.#values.delete(key)
    this.#values.set(key, value)
    return value
  }

  set(key: string, value: Value): void {
    this.#values.set(key, value)
    for (const [oldest, dropped] of this.#values) {
      if (this.#values.size <= this.#limit) return
      this.#values.delete(oldest)
      this.#drop(dropped)
    }
  }
}

export class GrammarCache {
  readonly opened: OpenLibrary
  readonly #library: GrammarLibrary
  readonly #prepared: RecentMap<Prepared>
  readonly #compiled: RecentMap<Disposable>
  readonly #preparing = new Map<string, Promise<Prepared>>()
  readonly #compiling = new Map<string, Promise<Disposable>>()
  readonly #now: () => number
  compilations = 0
  compileMs = 0
  hits = 0

  constructor(opened: OpenLibrary, limits: CacheLimits, now: () => number) {
    this.opened = opened
    this.#library = opened.library
    this.#now = now
    this.#prepared = new RecentMap(limits.vocabularies, ({ info, compiler }) => {
      compiler.dispose()
      info.dispose()
    })
    // Matchers keep what they need of a grammar that is disposed of.
    this.#compiled = new RecentMap(limits.grammars, (compiled) => compiled.dispose())
  }

  get size(): number {
    return this.#compiled.size
  }

  async open(request: GrammarRequest): Promise<LibraryMatcher> {
    return this.#library.GrammarMatcher.createGrammarMatcher(await this.#compile(request))
  }

  /** Compiles once for all concurrent requests. */
  async #compile(request: GrammarRequest): Promise<Disposable> {
    const key = `${request.vocabulary.key} ${request.text}`
    const before = this.#compiled.get(key) ?? this.#compiling.get(key)
    if (before) {
      this.hits++
      return before
    }
    const compiling = this.#compileNew(request)
    this.#compiling.set(key, compiling)
    try {
      const compiled = await compiling
      this.#compiled.set(key, compiled)
      return compiled
    } finally {
      this.#compiling.delete(key)
    }
  }

  async #compileNew({ vocabulary, text }: GrammarRequest): Promise<Disposable> {
    const start = this.#now()
    const { compiler } = await this.#prepare(vocabulary)
    const compiled = await compiler.compileGrammar(text)
    this.compilations++
    this.compileMs += this.#now() - start
    return compiled
  }

  async #prepare(vocabulary: Vocabulary): Promise<Prepared> {
    const { key } = vocabulary
    const before = this.#prepared.get(key) ?? this.#preparing.get(key)
    if (before) return before
    const preparing = this.#prepareNew(vocabulary)
    this.#preparing.set(key, preparing)
    try {
      const prepared = await preparing
      this.#prepared.set(key, prepared)
      return prepared
    } finally {
      this.#preparing.delete(key)
    }
  }

  async #prepareNew({ size, tokens }: Vocabulary): Promise<Prepared> {
    const { TokenizerInfo, GrammarCompiler } = this.#library
    // One additional token that ends a text, independent of an answer's own end-of-text tokens.
    const all = [...tokens, new Uint8Array()]
    const info = await TokenizerInfo.createTokenizerInfo(all, 'raw', false, size + 1, [size])
    // The library's own cache is disabled, because it has no limit.
    return { info, compiler: await GrammarCompiler.createGrammarCompiler(info, false) }
  }
}

// Masks computed in threads: a grammar compiles during prefill, and each mask is computed while the
// model runs. While a thread compiles, other threads compute the masks of other grammars.

import { Worker } from 'node:worker_threads'
import { UnsupportedError } from '../../base/errors.ts'
import { positiveInteger, readGivenOptions } from '../../base/schema.ts'
import type {
  GrammarHost,
  GrammarRequest,
  GrammarStatistics,
  TokenMatcher,
} from '../../runtime/grammar/grammar-host.ts'
import type { Vocabulary } from '../../runtime/grammar/vocabulary.ts'
import type { GrammarOrder, GrammarReport, PackedVocabulary } from './thread-messages.ts'

export interface ThreadHostOptions {
  /** Threads at most; they are started when they are needed. Default 2. */
  readonly threads?: number | undefined
}

const DEFAULT_THREADS = 2
const NO_STATISTICS: GrammarStatistics = {
  compiled: 0,
  matchers: 0,
  compilations: 0,
  compileMs: 0,
  hits: 0,
  failures: 0,
}

const packed = new WeakMap<Vocabulary, PackedVocabulary>()

/** In shared memory, so that threads need no copy. */
function packVocabulary(vocabulary: Vocabulary): PackedVocabulary {
  const before = packed.get(vocabulary)
  if (before) return before
  const { key, size, tokens } = vocabulary
  const total = tokens.reduce((sum, { length }) => sum + length, 0)
  const bytes = new Uint8Array(new SharedArrayBuffer(total))
  const ends = new Uint32Array(new SharedArrayBuffer(4 * tokens.length))
  let end = 0
  tokens.forEach((token, id) => {
    bytes.set(token, end)
    end += token.length
    ends[id] = end
  })
  const made = { key, size, bytes, ends }
  packed.set(vocabulary, made)
  return made
}

class GrammarThread {
  readonly #worker: Worker
  readonly #vocabularies = new Set<string>()
  /** Grammars that were opened here, which it may have compiled. */
  readonly texts = new Set<string>()
  readonly matchers = new Map<number, ThreadMatcher>()
  statistics = NO_STATISTICS
  #waiting = 0
  hasEnded = false

  constructor() {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const main = new URL(`./thread-main.${extension}`, import.meta.url)
    this.#worker = new Worker(main, { name: 'grammars', execArgv: [] })
    this.#worker.unref()
    this.#worker.on('message', (message: GrammarReport) => {
      this.statistics = message.statistics
      if (message.type === 'failed')
        this.matchers.get(message.id)?.fail(new UnsupportedError(message.message))
    })
    this.#worker.on('error', (error) => this.#end(`it failed: ${String(error)}`))
    this.#worker.on('exit', () => this.#end('it has ended'))
  }

  #end(reason: string): void {
    this.hasEnded = true
    for (const matcher of this.matchers.values())
      matcher.fail(new UnsupportedError(`The thread that computes a grammar’s masks: ${reason}.`))
  }

  order(order: GrammarOrder): void {
    this.#worker.postMessage(order, [])
  }

  open(matcher: ThreadMatcher, { vocabulary, text }: GrammarRequest, shared: Int32Array): void {
    if (!this.#vocabularies.has(vocabulary.key))
      this.order({ type: 'vocabulary', vocabulary: packVocabulary(vocabulary) })
    this.#vocabularies.add(vocabulary.key)
    this.texts.add(`${vocabulary.key} ${text}`)
    this.matchers.set(matcher.id, matcher)
    this.order({ type: 'open', id: matcher.id, vocabulary: vocabulary.key, text, shared })
  }

  /** Keeps the process alive while a caller waits for it. */
  async keepAlive<Of>(wait: () => Promise<Of>): Promise<Of> {
    if (this.#waiting++ === 0) this.#worker.ref()
    try {
      return await wait()
    } finally {
      if (--this.#waiting === 0) this.#worker.unref()
    }
  }

  async dispose(): Promise<void> {
    await this.#worker.terminate()
  }
}

class ThreadMatcher implements TokenMatcher {
  readonly id: number
  readonly #thread: GrammarThread
  readonly #shared: Int32Array
  /** The number of the mask after the last token. */
  #wanted = 1
  #error: Error | undefined
  #failed: (() => void) | undefined

  constructor(id: number, thread: GrammarThread, request: GrammarRequest) {
    this.id = id
    this.#thread = thread
    const words = Math.ceil((request.vocabulary.size + 1) / 32)
    this.#shared = new Int32Array(new SharedArrayBuffer(4 * (words + 1)))
    thread.open(this, request, this.#shared)
  }

  get mask(): Int32Array | undefined {
    if (this.#error || Atomics.load(this.#shared, 0) < this.#wanted) return undefined
    return this.#shared.subarray(1)
  }

  async ready(): Promise<void> {
    const failed = new Promise<void>((resolve) => (this.#failed = resolve))
    await this.#thread.keepAlive(async () => {
      for (;;) {
        if (this.#error) throw this.#error
        const count = Atomics.load(this.#shared, 0)
        if (count >= this.#wanted) return
        const { async: isWaiting, value } = Atomics.waitAsync(this.#shared, 0, count)
        if (isWaiting) await Promise.race([value, failed])
      }
    })
  }

  accept(token: number): void {
    this.#wanted++
    this.#thread.order({ type: 'accept', id: this.id, token })
  }

  fail(error: Error): void {
    this.#error = error
    this.#failed?.()
  }

  close(): void {
    if (this.#thread.matchers.delete(this.id)) this.#thread.order({ type: 'close', id: this.id })
  }
}

class ThreadHost implements GrammarHost {
  readonly #most: number
  #threads: GrammarThread[] = []
  #count = 0

  constructor({ threads = DEFAULT_THREADS }: ThreadHostOptions) {
    this.#most = threads
  }

  get statistics(): GrammarStatistics {
    const sum = (pick: (statistics: GrammarStatistics) => number): number =>
      this.#threads.reduce((total, { statistics }) => total + pick(statistics), 0)
    return {
      compiled: sum(({ compiled }) => compiled),
      matchers: this.#threads.reduce((total, { matchers }) => total + matchers.size, 0),
      compilations: sum(({ compilations }) => compilations),
      compileMs: sum(({ compileMs }) => compileMs),
      hits: sum(({ hits }) => hits),
      failures: sum(({ failures }) => failures),
    }
  }

  open(request: GrammarRequest): Promise<TokenMatcher> {
    return Promise.resolve(new ThreadMatcher(this.#count++, this.#choose(request), request))
  }

  /** One that has compiled the grammar, else an idle one, else the one with the fewest matchers. */
  #choose({ vocabulary, text }: GrammarRequest): GrammarThread {
    this.#threads = this.#threads.filter(({ hasEnded }) => !hasEnded)
    const key = `${vocabulary.key} ${text}`
    const found =
      this.#threads.find(({ texts }) => texts.has(key)) ??
      this.#threads.find(({ matchers }) => matchers.size === 0)
    if (found) return found
    if (this.#threads.length < this.#most) {
      const started = new GrammarThread()
      this.#threads.push(started)
      return started
    }
    return this.#threads.reduce((best, one) =>
      one.matchers.size < best.matchers.size ? one : best,
    )
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#threads.splice(0).map((thread) => thread.dispose()))
  }
}

/** A host whose threads are started with the first grammar. */
export const createThreadHost = (options: ThreadHostOptions = {}): GrammarHost =>
  new ThreadHost(
    readGivenOptions('Options of createThreadHost', options, { threads: positiveInteger }),
  )

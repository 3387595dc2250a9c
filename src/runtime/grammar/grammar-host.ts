// The contract of a host that computes token masks: in this thread (local-host.ts) or in another.
// Independent of the engine.

import type { Vocabulary } from './vocabulary.ts'

/** Which tokens may come next in one answer. */
export interface TokenMatcher {
  /**
   * Bits of the ids that may come next, 32 to a number; the bit after the last id is set if the
   * text may end. undefined while they are being computed. Valid until the next `accept`.
   */
  readonly mask: Int32Array | undefined
  /** Resolves when `mask` is computed; throws if that fails. */
  ready(): Promise<void>
  /** Takes the answer's next token. */
  accept(id: number): void
  /** Releases its memory. */
  close(): void
}

export interface GrammarRequest {
  readonly vocabulary: Vocabulary
  /** In XGrammar's notation, from `readGrammar`. */
  readonly text: string
}

export interface GrammarHost {
  /**
   * A matcher at the beginning of a text. In this thread its grammar is compiled then; where
   * another thread compiles it, the matcher is there at once, and `ready` waits.
   */
  open(request: GrammarRequest): Promise<TokenMatcher>
  readonly statistics: GrammarStatistics
  dispose(): Promise<void>
}

export interface GrammarStatistics {
  /** Grammars that are kept compiled, and matchers that are open. */
  readonly compiled: number
  readonly matchers: number
  /** Grammars that were compiled, and the milliseconds of all. */
  readonly compilations: number
  readonly compileMs: number
  /** Requests whose grammar was already compiled. */
  readonly hits: number
  /** Instances of the library that failed and were replaced. */
  readonly failures: number
}

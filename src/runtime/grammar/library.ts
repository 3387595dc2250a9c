// The part of @mlc-ai/web-xgrammar that is used, as types. The platform passes the package in
// (src/node, src/web), because the package declares itself an ES module and is not one. Independent
// of grammars.

/** Any object of the library that keeps memory until it is disposed of. */
export interface Disposable {
  dispose(): void
}

export interface LibraryMatcher extends Disposable {
  acceptToken(id: number): boolean
  getNextTokenBitmask(): Promise<Int32Array>
}

export interface LibraryCompiler extends Disposable {
  compileGrammar(grammar: string): Promise<Disposable>
}

export interface GrammarLibrary {
  readonly TokenizerInfo: {
    createTokenizerInfo(
      vocabulary: readonly Uint8Array[],
      kind: 'raw',
      prependSpace: boolean,
      size: number,
      stopIds: readonly number[],
    ): Promise<Disposable>
  }
  readonly GrammarCompiler: {
    createGrammarCompiler(info: Disposable, cached: boolean): Promise<LibraryCompiler>
  }
  readonly GrammarMatcher: {
    createGrammarMatcher(compiled: Disposable): Promise<LibraryMatcher>
  }
}

/** One instance of the library. An error may leave it unusable; then another one is opened. */
export interface OpenLibrary {
  readonly library: GrammarLibrary
  /** Bytes of its memory, which never shrinks; absent if they are unknown. */
  readonly memoryBytes?: () => number
  /** Returns what the library printed since the last call, which explains a failure. */
  readonly takeMessages?: () => string
}

export type LibraryOpener = () => Promise<OpenLibrary>

// Node's host of grammars: large vocabularies in threads, small ones here. A grammar of a few hundred
// tokens compiles in milliseconds, and its mask takes less time than a message to a thread.

import type { GrammarHost, GrammarStatistics } from '../../runtime/grammar/grammar-host.ts'
import { createLocalHost } from '../../runtime/grammar/local-host.ts'
import { openGrammarLibrary } from './open-library.ts'
import { createThreadHost } from './thread-host.ts'

/** Least tokens of a large vocabulary. */
const LARGE_VOCABULARY = 4096

function addStatistics(a: GrammarStatistics, b: GrammarStatistics): GrammarStatistics {
  return {
    compiled: a.compiled + b.compiled,
    matchers: a.matchers + b.matchers,
    compilations: a.compilations + b.compilations,
    compileMs: a.compileMs + b.compileMs,
    hits: a.hits + b.hits,
    failures: a.failures + b.failures,
  }
}

/** Neither the library nor a thread is opened before the first grammar. */
export function createNodeGrammarHost(): GrammarHost {
  const local = createLocalHost(openGrammarLibrary)
  const threads = createThreadHost()
  return {
    open: (request) => (request.vocabulary.size < LARGE_VOCABULARY ? local : threads).open(request),
    get statistics() {
      return addStatistics(local.statistics, threads.statistics)
    },
    async dispose() {
      await Promise.all([local.dispose(), threads.dispose()])
    },
  }
}

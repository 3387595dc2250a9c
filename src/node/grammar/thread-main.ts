// The thread that computes masks: compiles grammars, and computes each answer's next mask while the
// model computes its last token. Started by thread-host.ts.

import { parentPort } from 'node:worker_threads'
import { describeError } from '../files/system-errors.ts'
import type { TokenMatcher } from '../../runtime/grammar/grammar-host.ts'
import { createLocalHost } from '../../runtime/grammar/local-host.ts'
import type { Vocabulary } from '../../runtime/grammar/vocabulary.ts'
import { openGrammarLibrary } from './open-library.ts'
import type { GrammarOrder, GrammarReport, PackedVocabulary } from './thread-messages.ts'

interface OpenMatcher {
  readonly shared: Int32Array
  /** Resolves when the last request has been handled; requests are handled one after the other. */
  last: Promise<void>
  matcher: TokenMatcher | undefined
}

const host = createLocalHost(openGrammarLibrary)
const vocabularies = new Map<string, Vocabulary>()
const open = new Map<number, OpenMatcher>()
const port = parentPort!
const report = (message: GrammarReport): void => port.postMessage(message, [])

function unpackVocabulary({ key, size, bytes, ends }: PackedVocabulary): Vocabulary {
  const tokens = Array.from(ends, (end, id) => bytes.subarray(id === 0 ? 0 : ends[id - 1], end))
  return { key, size, tokens }
}

/** Writes the next mask into shared memory. */
async function writeMask({ matcher, shared }: OpenMatcher): Promise<void> {
  await matcher!.ready()
  shared.set(matcher!.mask!, 1)
  Atomics.add(shared, 0, 1)
  Atomics.notify(shared, 0)
}

function runNext(id: number, one: OpenMatcher, order: () => Promise<void>): void {
  one.last = one.last.then(order).catch((error: unknown) => {
    const { statistics } = host
    report({ type: 'failed', id, message: describeError(error), statistics })
  })
}

port.on('message', (order: GrammarOrder) => {
  if (order.type === 'vocabulary') {
    vocabularies.set(order.vocabulary.key, unpackVocabulary(order.vocabulary))
    return
  }
  const { id } = order
  if (order.type === 'open') {
    const one: OpenMatcher = { shared: order.shared, last: Promise.resolve(), matcher: undefined }
    open.set(id, one)
    runNext(id, one, async () => {
      const vocabulary = vocabularies.get(order.vocabulary)!
      one.matcher = await host.open({ vocabulary, text: order.text })
      await writeMask(one)
      report({ type: 'opened', statistics: host.statistics })
    })
    return
  }
  const one = open.get(id)
  if (!one) return
  if (order.type === 'close') {
    open.delete(id)
    runNext(id, one, async () => one.matcher?.close())
    return
  }
  runNext(id, one, () => {
    one.matcher?.accept(order.token)
    return writeMask(one)
  })
})

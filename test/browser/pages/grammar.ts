// Masks of grammars in a browser: the library as a bundle has it.

import { describe, expect, it } from 'vitest'
import { readGrammar } from '../../../src/formats/grammar/read-grammar.ts'
import { hasBit, isOnlyEnd } from '../../../src/runtime/decode/processors/grammar-mask.ts'
import { createLocalHost } from '../../../src/runtime/grammar/local-host.ts'
import { openGrammarLibrary } from '../../../src/web/grammar-library.ts'
import { runAll } from './suite.ts'

const tokens = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))
const vocabulary = { key: 'bytes', size: 256, tokens }

describe('grammars in a browser', () => {
  it('hold a text to a schema', async () => {
    const { text } = readGrammar({ type: 'json-schema', schema: { enum: ['é', 12] } })
    const host = createLocalHost(openGrammarLibrary)
    const matcher = await host.open({ vocabulary, text })
    for (const byte of new TextEncoder().encode('"é"')) {
      await matcher.ready()
      expect(hasBit(matcher.mask!, byte)).toBe(true)
      expect(hasBit(matcher.mask!, 'x'.charCodeAt(0))).toBe(false)
      matcher.accept(byte)
    }
    await matcher.ready()
    expect(isOnlyEnd(matcher.mask!, 256)).toBe(true)
    matcher.close()
  })
})

Object.assign(globalThis, { outcomes: runAll() })

// For tests: whether a grammar admits a text, by the masks of a vocabulary of single bytes.

import { hasBit } from '../../runtime/decode/processors/grammar-mask.ts'
import type { GrammarHost } from '../../runtime/grammar/grammar-host.ts'
import type { Vocabulary } from '../../runtime/grammar/vocabulary.ts'

const encoder = new TextEncoder()
export const byteVocabulary: Vocabulary = {
  key: 'single bytes',
  size: 256,
  tokens: Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
}

/** 'whole': the text matches; 'beginning': it is a prefix of a matching text. */
export async function judgeBytes(
  host: GrammarHost,
  grammar: string,
  given: string | Uint8Array,
): Promise<'whole' | 'beginning' | 'no'> {
  const matcher = await host.open({ vocabulary: byteVocabulary, text: grammar })
  try {
    for (const byte of typeof given === 'string' ? encoder.encode(given) : given) {
      await matcher.ready()
      if (!hasBit(matcher.mask!, byte)) return 'no'
      matcher.accept(byte)
    }
    await matcher.ready()
    return hasBit(matcher.mask!, 256) ? 'whole' : 'beginning'
  } finally {
    matcher.close()
  }
}

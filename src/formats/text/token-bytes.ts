// The bytes that each token writes within a text, from tokenizer.json. For grammars, which check
// tokens byte by byte: `decode` cannot give the bytes, because a token may be a part of a
// character.

import { byteOfCharacter } from './decoders.ts'
import type { TokenizerComponent } from './repairs.ts'

/** Lists a decoder's steps, those within sequences too. */
const listSteps = (component: TokenizerComponent): readonly TokenizerComponent[] =>
  component.type === 'Sequence'
    ? (component['decoders'] as readonly TokenizerComponent[]).flatMap(listSteps)
    : [component]

const encoder = new TextEncoder()
const byteToken = /^<0x([0-9A-Fa-f]{2})>$/

/**
 * A function from a token of the model's vocabulary to its bytes; undefined for a decoder whose
 * tokens have no separate bytes, such as WordPiece.
 */
export function findTokenBytes(
  decoder: TokenizerComponent | null | undefined,
): ((token: string) => Uint8Array) | undefined {
  const steps = decoder ? listSteps(decoder) : []
  const types = new Set(steps.map(({ type }) => type))
  if (types.has('WordPiece') || types.has('BPEDecoder') || types.has('CTC')) return undefined
  if (types.has('ByteLevel')) return encodeByteLevel
  const replaces = steps.flatMap((step): (readonly [string, string])[] => {
    if (step.type === 'Metaspace') return [[(step['replacement'] as string) ?? '▁', ' ']]
    const pattern = (step['pattern'] as { String?: string } | undefined)?.String
    return step.type === 'Replace' && pattern !== undefined
      ? [[pattern, step['content'] as string]]
      : []
  })
  const hasBytes = types.has('ByteFallback')
  return (token) => {
    const hex = hasBytes ? byteToken.exec(token) : null
    if (hex) return Uint8Array.of(Number.parseInt(hex[1]!, 16))
    return encoder.encode(replaces.reduce((text, [from, to]) => text.replaceAll(from, to), token))
  }
}

/** A token with a character outside of GPT-2's alphabet is its own text. */
function encodeByteLevel(token: string): Uint8Array {
  const bytes = Array.from(token, (character) => byteOfCharacter.get(character))
  return bytes.includes(undefined) ? encoder.encode(token) : Uint8Array.from(bytes as number[])
}

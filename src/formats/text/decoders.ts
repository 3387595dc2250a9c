// The decoders of tokenizer.json that turn tokens back into bytes, as the Rust library defines
// them. They replace the ones of
// @huggingface/tokenizers 0.2.0, which search all added tokens for each token and differ
// on broken UTF-8.

import { type TokenizerComponent } from './repairs.ts'

type DecodeStep = (tokens: readonly string[]) => string[]

/** The step of a component; undefined if the library's own is right. */
export function findDecodeStep(component: TokenizerComponent): DecodeStep | undefined {
  return steps[component.type]?.(component)
}

const steps: Readonly<Record<string, (component: TokenizerComponent) => DecodeStep>> = {
  ByteLevel: () => (tokens) => [decodeByteLevel(tokens)],
  ByteFallback: () => decodeByteFallback,
  Metaspace: (component) => (tokens) =>
    decodeMetaspace(
      tokens,
      (component['replacement'] as string) ?? '▁',
      component['prepend_scheme'] !== 'never',
    ),
}

/** A token for one raw byte (`<0x0A>`): its text depends on its neighbours. */
export const isByteToken = (token: string): boolean => byteToken.test(token)
const byteToken = /^<0x([0-9A-Fa-f]{2})>$/

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true }) // a BOM in the text is text
const strictUtf8 = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })
const encoder = new TextEncoder()

/**
 * Byte of each character of GPT-2's alphabet: printable Latin-1 maps to itself, the other bytes to
 * U+0100 and up.
 */
export const byteOfCharacter: ReadonlyMap<string, number> = (() => {
  const map = new Map<string, number>()
  let next = 0x100
  for (let byte = 0; byte < 256; byte++) {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
    map.set(String.fromCharCode(printable ? byte : next++), byte)
  }
  return map
})()

/**
 * All tokens' bytes as UTF-8; a token with a character outside the alphabet (an added token) is its
 * own text.
 */
function decodeByteLevel(tokens: readonly string[]): string {
  const bytes: number[] = []
  for (const token of tokens) {
    const own = Array.from(token, (char) => byteOfCharacter.get(char))
    for (const byte of own.includes(undefined) ? encoder.encode(token) : (own as number[]))
      bytes.push(byte)
  }
  return utf8.decode(Uint8Array.from(bytes))
}

/**
 * Replacement characters are spaces, except in the first token, where they are the prefix that
 * encoding had added.
 */
function decodeMetaspace(
  tokens: readonly string[],
  replacement: string,
  prefixed: boolean,
): string[] {
  return tokens.map((token, i) => token.replaceAll(replacement, i === 0 && prefixed ? '' : ' '))
}

/** Runs of `<0xNN>` tokens as UTF-8; one U+FFFD for every byte of a run that is not valid UTF-8. */
function decodeByteFallback(tokens: readonly string[]): string[] {
  const result: string[] = []
  let run: number[] = []
  const flush = (): void => {
    if (run.length > 0) result.push(...decodeRun(run))
    run = []
  }
  for (const token of tokens) {
    const hex = byteToken.exec(token)
    if (hex) {
      run.push(Number.parseInt(hex[1]!, 16))
      continue
    }
    flush()
    result.push(token)
  }
  flush()
  return result
}

function decodeRun(bytes: readonly number[]): string[] {
  try {
    return [strictUtf8.decode(Uint8Array.from(bytes))]
  } catch {
    return bytes.map(() => '\ufffd')
  }
}

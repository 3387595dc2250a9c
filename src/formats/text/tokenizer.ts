// Text ↔ token ids, over @huggingface/tokenizers with what differs from the Rust library put right.
// Independent of files and models.

import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers'
import { FormatError } from '../../base/errors.ts'
import { isRecord } from '../../base/schema.ts'
import { findDecodeStep, isByteToken } from './decoders.ts'
import { type TokenizerComponent, repairTokenizer } from './repairs.ts'
import { findTokenBytes } from './token-bytes.ts'

export interface Tokenizer {
  /** Ids are below this; a model's embedding may have more rows. */
  readonly vocabularySize: number
  /**
   * Token ids of a text. Added tokens in it (`<|im_end|>`) become their ids; BOS and EOS are added
   * only on request.
   */
  encode(text: string, options?: { addSpecialTokens?: boolean }): number[]
  /**
   * The text of token ids; ids outside the vocabulary (padding rows of an embedding) are left out.
   */
  decode(ids: readonly number[], options?: { skipSpecialTokens?: boolean }): string
  /** The id of one token, or undefined. */
  tokenId(token: string): number | undefined
  /**
   * True for a token for one raw byte, whose text depends on its neighbours; absent if there is
   * none.
   */
  isByteToken?(id: number): boolean
  /**
   * What each token writes within a text, by id; a special one is left out of texts. Absent if
   * tokens have no separate bytes. Ids without a token have no bytes.
   */
  listPieces?(): readonly TokenBytes[]
  readonly bosId?: number
  readonly eosId?: number
  readonly padId?: number
  /** The texts of special tokens by the names that templates know: `bos_token`, `pad_token`. */
  readonly specialTokens?: SpecialTokens
}

export interface TokenBytes {
  readonly bytes: Uint8Array
  readonly isSpecial: boolean
}

export type SpecialTokens = Readonly<Record<string, string>>

type Json = Readonly<Record<string, unknown>>

/**
 * A tokenizer from the parsed tokenizer.json and tokenizer_config.json. Throws FormatError if the
 * first is not one.
 */
export function createTokenizer(tokenizerJson: object, tokenizerConfig: object): Tokenizer {
  const config = tokenizerConfig as Json
  const library = openLibrary(tokenizerJson as Json, config)
  const vocabulary = library.get_vocab()
  const vocabularySize = findLargest(vocabulary.values()) + 1
  const special = collectSpecialIds(library, config)
  const byteTokens = new Set<number>()
  for (const [token, id] of vocabulary) if (isByteToken(token)) byteTokens.add(id)
  const specialTokens = readSpecialTokens(config)
  const idOf = (name: string): number | undefined => {
    const text = specialTokens[name]
    return text === undefined ? undefined : library.token_to_id(text)
  }
  const encode: Tokenizer['encode'] = (text, { addSpecialTokens = false } = {}) =>
    library.encode(text, { add_special_tokens: addSpecialTokens }).ids
  const decode: Tokenizer['decode'] = (ids, { skipSpecialTokens = false } = {}) => {
    const kept = ids.filter(
      (id) => library.id_to_token(id) !== undefined && !(skipSpecialTokens && special.has(id)),
    )
    return kept.length === 0 ? '' : library.decode(kept) // the library throws on an empty list
  }
  return {
    vocabularySize,
    encode,
    decode,
    tokenId: (token) => library.token_to_id(token),
    ...(byteTokens.size > 0 && { isByteToken: (id: number) => byteTokens.has(id) }),
    ...toOptionalField('bosId', idOf('bos_token')),
    ...toOptionalField('eosId', idOf('eos_token')),
    ...toOptionalField('padId', idOf('pad_token')),
    ...createPieceList(library, tokenizerJson as Json, special),
    specialTokens,
  }
}

/** The list is made when it is first asked for: it takes some 50 ms for 50,000 tokens. */
function createPieceList(
  library: LibraryTokenizer,
  tokenizerJson: Json,
  special: ReadonlySet<number>,
): Pick<Tokenizer, 'listPieces'> {
  const toBytes = findTokenBytes(tokenizerJson['decoder'] as TokenizerComponent | null | undefined)
  if (!toBytes) return {}
  let pieces: TokenBytes[] | undefined
  return {
    listPieces() {
      if (pieces) return pieces
      const added = library.get_added_tokens_decoder()
      const list: TokenBytes[] = []
      for (const [token, id] of library.get_vocab()) {
        const isSpecial = special.has(id)
        list[id] = { bytes: added.has(id) ? encoder.encode(token) : toBytes(token), isSpecial }
      }
      const none: TokenBytes = { bytes: new Uint8Array(), isSpecial: true }
      pieces = Array.from(list, (piece) => piece ?? none)
      return pieces
    },
  }
}

const encoder = new TextEncoder()

/**
 * tokenizer_config.json with the tokens of special_tokens_map.json, which transformers heeds where
 * the config lists no added tokens.
 */
export const completeTokenizerConfig = (config: object, map: object | undefined): object =>
  map === undefined || 'added_tokens_decoder' in config ? config : { ...config, ...map }

/**
 * The tokens that tokenizer_config.json names (`pad_token`, `image_token`), which transformers
 * hands to templates.
 */
export function readSpecialTokens(config: object): SpecialTokens {
  const { extra_special_tokens: extra } = config as Json
  const named = Object.entries(config).filter(([name]) => name.endsWith('_token'))
  return Object.fromEntries(
    [...named, ...Object.entries(isRecord(extra) ? extra : {})].flatMap(([name, token]) => {
      const text: unknown = isRecord(token) ? token['content'] : token
      return typeof text === 'string' ? [[name, text]] : []
    }),
  )
}

/** The texts of a tokenizer's special tokens; of one that names none, those of BOS and EOS. */
export function listSpecialTokens({
  specialTokens,
  bosId,
  eosId,
  decode,
}: Tokenizer): SpecialTokens {
  if (specialTokens) return specialTokens
  return {
    ...(bosId !== undefined && { bos_token: decode([bosId]) }),
    ...(eosId !== undefined && { eos_token: decode([eosId]) }),
  }
}

/** Opens the library with repaired components, and swaps in the byte decoders. */
function openLibrary(tokenizerJson: Json, config: Json): LibraryTokenizer {
  const model = tokenizerJson['model'] as TokenizerComponent | undefined
  if (model === undefined || typeof model !== 'object')
    throw new FormatError('tokenizer.json: there is no "model" in it; got another kind of JSON.')
  // transformers never cleans up after BPE, where it would eat the spaces before punctuation.
  const cleanUp = model.type === 'BPE' ? false : (config['clean_up_tokenization_spaces'] ?? false)
  const defaults = {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
  }
  const library = new LibraryTokenizer(repairTokenizer({ ...defaults, ...tokenizerJson }), {
    ...config,
    clean_up_tokenization_spaces: cleanUp,
  })
  const decoder = tokenizerJson['decoder'] as TokenizerComponent | null | undefined
  if (decoder && library.decoder) repairDecoder(decoder, library.decoder)
  return library
}

interface LibraryDecoder {
  decode_chain(tokens: string[]): string[]
  decoders?: readonly (LibraryDecoder | null)[]
}

/** Puts our steps in place of the library's, within sequences too. */
function repairDecoder(component: TokenizerComponent, decoder: LibraryDecoder): void {
  const parts =
    component.type === 'Sequence' ? (component['decoders'] as readonly TokenizerComponent[]) : []
  parts.forEach((part, i) => decoder.decoders?.[i] && repairDecoder(part, decoder.decoders[i]))
  const step = findDecodeStep(component)
  if (step) decoder.decode_chain = step
}

/**
 * Ids that `skipSpecialTokens` leaves out: added tokens marked special, and those the config names.
 */
function collectSpecialIds(library: LibraryTokenizer, config: Json): ReadonlySet<number> {
  const ids = new Set<number>()
  for (const [id, token] of library.get_added_tokens_decoder()) if (token.special) ids.add(id)
  for (const token of (config['additional_special_tokens'] as readonly unknown[] | undefined) ??
    []) {
    const id = typeof token === 'string' ? library.token_to_id(token) : undefined
    if (id !== undefined) ids.add(id)
  }
  return ids
}

/**
 * The largest value, −1 for none; `Math.max(...)` of a whole vocabulary would overflow the stack.
 */
function findLargest(values: Iterable<number>): number {
  let most = -1
  for (const value of values) if (value > most) most = value
  return most
}

const toOptionalField = <Name extends string>(
  name: Name,
  id: number | undefined,
): { [key in Name]?: number } =>
  (id === undefined ? {} : { [name]: id }) as { [key in Name]?: number }

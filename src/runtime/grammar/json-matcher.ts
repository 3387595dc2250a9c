// A matcher of JSON that also enforces limits for which a grammar would need a state for each
// count: lengths of long strings, and an end of white space.

import type { LengthPlan } from '../../formats/grammar/schema/length-plan.ts'
import { hasBit } from '../decode/processors/grammar-mask.ts'
import type { TokenMatcher } from './grammar-host.ts'
import { JsonPosition } from './json-position.ts'
import type { Vocabulary } from './vocabulary.ts'

/**
 * Most spaces after a line break, because some models would repeat spaces up to the end of the
 * context.
 */
const MOST_SPACES = 32

/** For each token, the characters it adds to a string, and whether it ends the string. */
interface StringTable {
  readonly characters: Uint8Array
  readonly ends: Uint8Array
  /** The most characters of one token. */
  readonly most: number
}

interface TokenTables {
  readonly plain: StringTable
  /** After a backslash. */
  readonly escaped: StringTable
  /** Tokens of spaces alone. */
  readonly spaces: readonly number[]
  /** Tokens that may begin a string, also those that end another one first. */
  readonly opening: readonly number[]
  readonly reopening: readonly number[]
}

const tables = new WeakMap<Vocabulary, TokenTables>()

function createStringTable({ tokens }: Vocabulary, isEscapedFirst: boolean): StringTable {
  const characters = new Uint8Array(tokens.length)
  const ends = new Uint8Array(tokens.length)
  let most = 0
  tokens.forEach((bytes, id) => {
    let isEscaped = isEscapedFirst
    let count = 0
    for (const byte of bytes) {
      if (isEscaped) isEscaped = false
      else if (byte === 0x22) {
        ends[id] = 1
        break
      } else {
        if ((byte & 0xc0) !== 0x80) count++
        isEscaped = byte === 0x5c
      }
    }
    characters[id] = Math.min(255, count)
    most = Math.max(most, characters[id])
  })
  return { characters, ends, most }
}

const text = new TextDecoder('latin1')

function getTables(vocabulary: Vocabulary): TokenTables {
  const before = tables.get(vocabulary)
  if (before) return before
  const { tokens } = vocabulary
  const listIds = (pattern: RegExp): number[] =>
    [...tokens.keys()].filter((id) => pattern.test(text.decode(tokens[id])))
  const made = {
    plain: createStringTable(vocabulary, false),
    escaped: createStringTable(vocabulary, true),
    spaces: listIds(/^ +$/),
    opening: listIds(/"/),
    reopening: listIds(/"[^]*"/),
  }
  tables.set(vocabulary, made)
  return made
}

const clearBit = (mask: Int32Array, id: number): void => {
  mask[id >> 5]! &= ~(1 << (id & 31))
}

class JsonMatcher implements TokenMatcher {
  readonly #inner: TokenMatcher
  readonly #vocabulary: Vocabulary
  readonly #position: JsonPosition
  readonly #hasPlan: boolean
  #mask: Int32Array | undefined

  constructor(inner: TokenMatcher, vocabulary: Vocabulary, plan: LengthPlan | undefined) {
    this.#inner = inner
    this.#vocabulary = vocabulary
    this.#hasPlan = plan !== undefined
    this.#position = new JsonPosition(plan)
  }

  get mask(): Int32Array | undefined {
    const { mask } = this.#inner
    if (!mask || (!this.#hasPlan && this.#position.spaces < MOST_SPACES)) return mask
    return (this.#mask ??= this.#narrow(mask))
  }

  ready(): Promise<void> {
    return this.#inner.ready()
  }

  accept(id: number): void {
    this.#mask = undefined
    this.#position.push(this.#vocabulary.tokens[id]!)
    this.#inner.accept(id)
  }

  close(): void {
    this.#inner.close()
  }

  #narrow(given: Int32Array): Int32Array {
    const { isInString, spaces } = this.#position
    const mask = given.slice()
    const found = getTables(this.#vocabulary)
    if (spaces >= MOST_SPACES) for (const id of found.spaces) clearBit(mask, id)
    if (!this.#hasPlan) return mask
    if (isInString) this.#narrowString(mask)
    const { tokens } = this.#vocabulary
    for (const id of isInString ? found.reopening : found.opening)
      if (hasBit(mask, id) && !this.#position.fits(tokens[id]!)) clearBit(mask, id)
    return mask
  }

  #narrowString(mask: Int32Array): void {
    const { characters: count, isEscaped, lengths } = this.#position
    if (!lengths) return
    const { plain, escaped } = getTables(this.#vocabulary)
    const { characters, ends, most } = isEscaped ? escaped : plain
    const left = lengths.most - count
    const needed = lengths.least - count
    if (left >= most && needed <= 0) return
    for (let id = 0; id < characters.length; id++) {
      const one = characters[id]!
      if (one > left || (one < needed && ends[id] === 1)) clearBit(mask, id)
    }
  }
}

/** A matcher of one JSON value, and the lengths of its long strings. */
export const createJsonMatcher = (
  inner: TokenMatcher,
  vocabulary: Vocabulary,
  plan: LengthPlan | undefined,
): TokenMatcher => new JsonMatcher(inner, vocabulary, plan)

// Walks over the head of a file in windows, so that a head of unknown length is read with few
// requests and nothing is allocated on the word of a count in it. Knows lengths and bytes, nothing
// of GGUF's structure.

import { FormatError } from '../../base/errors.ts'
import type { ByteSource } from '../byte-source.ts'
import { type GgufNumberType, numberCodecs } from './types.ts'

const windowBytes = 1 << 20 // a tokenizer's head takes 1–8 MiB, a LoRA's a few KiB

// a token may be a byte order mark: keep it
const lenient = new TextDecoder('utf-8', { ignoreBOM: true })
const strict = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })

/** Of more bytes a call of the platform's decoder is faster. */
const mostShortBytes = 32

/**
 * A short text of characters of one or two bytes, as nearly all tokens of a vocabulary are: the
 * platform's decoder takes three times as long for them. Undefined for any other.
 */
function decodeShort(bytes: Uint8Array): string | undefined {
  if (bytes.length > mostShortBytes) return undefined
  let text = ''
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!
    if (byte < 0x80) {
      text += String.fromCharCode(byte)
      continue
    }
    const next = bytes[++at] ?? 0
    if (byte < 0xc2 || byte > 0xdf || (next & 0xc0) !== 0x80) return undefined
    text += String.fromCharCode(((byte & 0x1f) << 6) | (next & 0x3f))
  }
  return text
}

export class GgufCursor {
  readonly #source: ByteSource
  #window: Uint8Array = new Uint8Array(0)
  #view = new DataView(this.#window.buffer)
  #windowStart = 0
  #at = 0 // within the window

  constructor(source: ByteSource) {
    this.#source = source
  }

  get position(): number {
    return this.#windowStart + this.#at
  }

  get remainingBytes(): number {
    return this.#source.sizeBytes - this.position
  }

  /** FormatError that names the file. */
  fail(problem: string, cause?: unknown): never {
    throw new FormatError(
      `${this.#source.name}: not a valid GGUF file: ${problem}. It is incomplete or damaged; download it again.`,
      { cause },
    )
  }

  /**
   * Makes the next `bytes` bytes readable; returns a promise only where a window must be read,
   * because waiting for each of 100,000 tokens would cost more than reading them. Fails where the
   * file ends before.
   */
  need(bytes: number, what: () => string): Promise<void> | undefined {
    if (this.#at + bytes <= this.#window.length) return undefined
    if (bytes > this.remainingBytes)
      this.fail(`it ends within ${what()}: ${bytes} bytes needed, ${this.remainingBytes} left`)
    return this.#refill(bytes)
  }

  async #refill(bytes: number): Promise<void> {
    const start = this.position
    const length = Math.min(Math.max(bytes, windowBytes), this.remainingBytes)
    this.#window = await this.#source.read(start, length)
    this.#view = new DataView(this.#window.buffer, this.#window.byteOffset, this.#window.length)
    this.#windowStart = start
    this.#at = 0
  }

  /** The next number; `need` first. */
  number(type: GgufNumberType): number | bigint {
    const { bytes, get } = numberCodecs[type]
    this.#at += bytes
    return get(this.#view, this.#at - bytes)
  }

  /** The next bytes as a view into the window; `need` first. */
  bytes(length: number): Uint8Array {
    this.#at += length
    return this.#window.subarray(this.#at - length, this.#at)
  }

  /** A number, with the wait for it. */
  async next(type: GgufNumberType, what: () => string): Promise<number | bigint> {
    await this.need(numberCodecs[type].bytes, what)
    return this.number(type)
  }

  /**
   * A count of things of which each takes at least `leastBytes`: more than the file can hold fails
   * before anything is allocated.
   */
  async count(leastBytes: number, what: () => string): Promise<number> {
    const count = await this.next('u64', what)
    if (typeof count === 'bigint' || count * leastBytes > this.remainingBytes) {
      this.fail(`${what()} claims ${count} items, but only ${this.remainingBytes} bytes follow`)
    }
    return count
  }

  /**
   * The next string: u64 length, then UTF-8. Invalid bytes are an error in names; in text they
   * become U+FFFD.
   */
  async string(what: () => string, kind: 'name' | 'text'): Promise<string> {
    await this.need(8, what)
    const length = this.number('u64')
    if (typeof length === 'bigint')
      this.fail(`it ends within ${what()}: ${length} bytes needed, ${this.remainingBytes} left`)
    await this.need(length, what)
    return this.#decode(length, what, kind)
  }

  /**
   * `string` without the wait, or undefined if the window ends first; the position is unchanged
   * then.
   */
  stringInWindow(): string | undefined {
    if (this.#at + 8 > this.#window.length) return undefined
    const length = numberCodecs.u64.get(this.#view, this.#at)
    if (typeof length === 'bigint' || this.#at + 8 + length > this.#window.length) return undefined
    this.#at += 8
    const bytes = this.bytes(length)
    return decodeShort(bytes) ?? lenient.decode(bytes)
  }

  #decode(length: number, what: () => string, kind: 'name' | 'text'): string {
    try {
      return (kind === 'name' ? strict : lenient).decode(this.bytes(length))
    } catch (cause) {
      return this.fail(`${what()} is not UTF-8`, cause)
    }
  }
}

// SHA-256 of bytes that arrive piece by piece, which Web Crypto cannot do.

import { addSha256Block, createSha256State, formatSha256 } from './sha256-sync.ts'

const blockBytes = 64

/** Takes bytes in order; `finish` gives the hash in hexadecimal, once. */
export class Sha256Stream {
  readonly #state = createSha256State()
  readonly #words = new Int32Array(blockBytes)
  readonly #rest = new Uint8Array(2 * blockBytes)
  #restBytes = 0
  #totalBytes = 0

  update(bytes: Uint8Array): void {
    this.#totalBytes += bytes.length
    let at = 0
    if (this.#restBytes > 0) {
      at = Math.min(blockBytes - this.#restBytes, bytes.length)
      this.#rest.set(bytes.subarray(0, at), this.#restBytes)
      this.#restBytes += at
      if (this.#restBytes < blockBytes) return
      this.#take(this.#rest, 0)
      this.#restBytes = 0
    }
    for (; at + blockBytes <= bytes.length; at += blockBytes) this.#take(bytes, at)
    this.#rest.set(bytes.subarray(at))
    this.#restBytes = bytes.length - at
  }

  #take(bytes: Uint8Array, at: number): void {
    const words = this.#words
    for (let i = 0, byte = at; i < 16; i++, byte += 4)
      words[i] =
        (bytes[byte]! << 24) | (bytes[byte + 1]! << 16) | (bytes[byte + 2]! << 8) | bytes[byte + 3]!
    addSha256Block(this.#state, words)
  }

  finish(): string {
    const rest = this.#rest
    const length = this.#restBytes < blockBytes - 8 ? blockBytes : 2 * blockBytes
    rest.fill(0, this.#restBytes, length)
    rest[this.#restBytes] = 0x80
    new DataView(rest.buffer).setBigUint64(length - 8, BigInt(this.#totalBytes) * 8n)
    for (let at = 0; at < length; at += blockBytes) this.#take(rest, at)
    return formatSha256(this.#state)
  }
}

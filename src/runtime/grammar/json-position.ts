// Tracks the position in a JSON text that is being generated: in which string, and where in the
// value. Checks nothing, because a grammar has already accepted the bytes. Independent of tokens.

import type { LengthPlan } from '../../formats/grammar/schema/length-plan.ts'

interface Frame {
  readonly isObject: boolean
  readonly plan: LengthPlan | undefined
  /** In an array, the index of the current item. In an object, the last key. */
  index: number
  key: string
  /** Whether the next string is a key. */
  wantsKey: boolean
}

const [QUOTE, BACKSLASH, COMMA, COLON, SPACE, NEWLINE] = Array.from('"\\,: \n', (sign) =>
  sign.charCodeAt(0),
) as [number, number, number, number, number, number]
const [OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET] = Array.from('{}[]', (sign) =>
  sign.charCodeAt(0),
) as [number, number, number, number]

const decoder = new TextDecoder()

export class JsonPosition {
  readonly #root: LengthPlan | undefined
  readonly #frames: Frame[] = []
  #keyBytes: number[] | undefined
  /** Whether the position is within a string, and after a backslash there. */
  isInString = false
  isEscaped = false
  /** Characters of the string so far, an escape as one. */
  characters = 0
  /** Spaces after the last line break between JSON tokens. */
  spaces = 0
  #hasBreak = false
  /** Lengths of the string that is being written, where they are counted. */
  lengths: LengthPlan['own']
  /** Whether a string was longer or shorter than it may be. */
  isWrong = false

  constructor(root: LengthPlan | undefined) {
    this.#root = root
  }

  /** Whether all strings have allowed lengths if these bytes follow. */
  fits(bytes: Uint8Array): boolean {
    const next = new JsonPosition(this.#root)
    next.#frames.push(...this.#frames.map((frame) => Object.assign({}, frame)))
    next.#keyBytes = this.#keyBytes && [...this.#keyBytes]
    next.isInString = this.isInString
    next.isEscaped = this.isEscaped
    next.characters = this.characters
    next.lengths = this.lengths
    next.push(bytes)
    return !next.isWrong
  }

  push(bytes: Uint8Array): void {
    for (const byte of bytes)
      if (this.isInString) this.#pushText(byte)
      else this.#pushSign(byte)
  }

  #pushText(byte: number): void {
    this.#keyBytes?.push(byte)
    if (this.isEscaped) this.isEscaped = false
    else if (byte === BACKSLASH) {
      this.isEscaped = true
      this.characters++
    } else if (byte === QUOTE) this.#endString()
    else if ((byte & 0xc0) !== 0x80) this.characters++
    if (this.lengths && this.characters > this.lengths.most) this.isWrong = true
  }

  #endString(): void {
    this.isInString = false
    if (this.lengths && this.characters < this.lengths.least) this.isWrong = true
    this.lengths = undefined
    const frame = this.#frames.at(-1)
    if (!this.#keyBytes || !frame) return
    frame.key = JSON.parse(`"${decoder.decode(Uint8Array.from(this.#keyBytes))}`) as string
    this.#keyBytes = undefined
  }

  #pushSign(byte: number): void {
    this.spaces = byte === SPACE && this.#hasBreak ? this.spaces + 1 : 0
    this.#hasBreak = byte === NEWLINE || (byte === SPACE && this.#hasBreak)
    const frame = this.#frames.at(-1)
    switch (byte) {
      case QUOTE:
        this.#beginString(frame)
        break
      case OPEN_BRACE:
      case OPEN_BRACKET: {
        const isObject = byte === OPEN_BRACE
        const plan = this.#findPlan(frame)
        this.#frames.push({ isObject, plan, index: 0, key: '', wantsKey: isObject })
        break
      }
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        this.#frames.pop()
        break
      case COLON:
        if (frame) frame.wantsKey = false
        break
      case COMMA:
        if (frame) frame.index++
        if (frame) frame.wantsKey = frame.isObject
    }
  }

  #beginString(frame: Frame | undefined): void {
    this.isInString = true
    this.characters = 0
    if (frame?.wantsKey) this.#keyBytes = []
    else this.lengths = this.#findPlan(frame)?.own
  }

  /** The plan of the value that begins here. */
  #findPlan(frame: Frame | undefined): LengthPlan | undefined {
    if (!frame) return this.#root
    return frame.isObject ? frame.plan?.property(frame.key) : frame.plan?.item(frame.index)
  }
}

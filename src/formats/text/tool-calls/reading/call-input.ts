// The text of a call as it arrives, read one character after the other by generators that pause
// where more is needed. Independent of what calls look like.

/** Thrown by a reader: what follows is not a call. */
export class MalformedCall extends Error {}

/** Takes pieces of text; readers look at `text[at]` and move `at` on. */
export class CallInput {
  /** What is not read yet begins at `at`. */
  text = ''
  at = 0
  /** No text follows. */
  isEnded = false
  #read: string[] = []
  #take: ((text: string) => void) | undefined
  #from = 0

  push(piece: string): void {
    this.flush()
    this.#read.push(this.text.slice(0, this.at))
    this.text = this.text.slice(this.at) + piece
    this.at = 0
    this.#from = 0
  }

  /** Forgets what was read: what is malformed from now on begins here. */
  mark(): void {
    this.flush()
    this.#read = []
    this.text = this.text.slice(this.at)
    this.at = 0
    this.#from = 0
  }

  /** All that was read since the last mark. */
  get read(): string {
    return this.#read.join('') + this.text.slice(0, this.at)
  }

  get unread(): string {
    return this.text.slice(this.at)
  }

  /** Hands on what is read from now on, until `stop`. */
  record(take: (text: string) => void): void {
    this.#take = take
    this.#from = this.at
  }

  /** Hands on what was read since the last time. */
  flush(): void {
    if (this.#take && this.at > this.#from) this.#take(this.text.slice(this.#from, this.at))
    this.#from = this.at
  }

  /** Puts another text in the place of the next `count` characters of what is recorded. */
  replace(count: number, text: string): void {
    this.flush()
    this.at += count
    this.#from = this.at
    this.#take?.(text)
  }

  stop(): void {
    this.flush()
    this.#take = undefined
  }
}

/** The next character, which stays; '' where the text has ended. */
export function* lookAhead(input: CallInput): Generator<void, string> {
  while (input.at >= input.text.length) {
    if (input.isEnded) return ''
    yield
  }
  return input.text[input.at]!
}

/** Whether this text comes next; it stays. */
export function* matchText(input: CallInput, text: string): Generator<void, boolean> {
  for (;;) {
    const count = Math.min(text.length, input.text.length - input.at)
    if (!input.text.startsWith(text.slice(0, count), input.at)) return false
    if (count === text.length) return true
    if (input.isEnded) return false
    yield
  }
}

/** Takes this text where it comes next. */
export function* takeText(input: CallInput, text: string): Generator<void, boolean> {
  const isNext = yield* matchText(input, text)
  if (isNext) input.at += text.length
  return isNext
}

/** Takes this text; throws MalformedCall where another comes. */
export function* requireText(input: CallInput, text: string): Generator<void, void> {
  if (!(yield* takeText(input, text))) throw new MalformedCall(`expected ${text}`)
}

const isSpace = (character: string): boolean => /\s/.test(character)

export function* dropSpace(input: CallInput): Generator<void, void> {
  for (;;) {
    const character = yield* lookAhead(input)
    if (character === '' || !isSpace(character)) return
    input.at++
  }
}

/** Characters as long as they fit. */
export function* takeWhile(
  input: CallInput,
  fits: (character: string) => boolean,
): Generator<void, string> {
  let taken = ''
  for (;;) {
    const character = yield* lookAhead(input)
    if (character === '' || !fits(character)) return taken
    taken += character
    input.at++
  }
}

// Events in order, and which white space belongs to the text. Independent of how markers are found.

import type { ToolCallEvent } from './tool-call-format.ts'

/**
 * White space next to a marker is layout and not emitted; other white space waits for the text that
 * follows.
 */
export class EventWriter {
  #events: ToolCallEvent[] = []
  #space = ''
  /** A marker comes right before. */
  #isMarked = false
  #calls = 0
  /** No text comes before, or none since the last call or reasoning. */
  isFresh = true
  /** The preceding part is a call. */
  isAfterCall = false
  /** A call has started and is not ended. */
  isCalling = false
  isReasoning = false

  /** Text or reasoning. */
  say(text: string): void {
    const whole = this.#space + text
    const said = whole.trimEnd()
    this.#space = whole.slice(said.length)
    if (said !== '') this.#sayAll(this.#isMarked ? said.trimStart() : said)
  }

  /** A marker ends here. */
  mark(isReasoning = false): void {
    this.#space = ''
    this.#isMarked = true
    this.isFresh = true
    this.isAfterCall = false
    this.isReasoning = isReasoning
  }

  start(name: string): void {
    this.mark()
    this.isCalling = true
    this.#events.push({ type: 'call-start', index: this.#calls, name })
  }

  /** A piece of arguments; those of one push are one event. */
  append(text: string): void {
    const last = this.#events.at(-1)
    const before = last?.type === 'call-arguments' ? last.text : ''
    if (before !== '') this.#events.pop()
    if (before + text !== '')
      this.#events.push({ type: 'call-arguments', index: this.#calls, text: before + text })
  }

  end(id?: string): void {
    this.isCalling = false
    this.#events.push({ type: 'call-end', index: this.#calls++, ...(id !== undefined && { id }) })
    this.mark()
    this.isAfterCall = true
  }

  /** The call that has started is none. */
  break(text: string): void {
    this.isCalling = false
    this.isFresh = false
    this.#isMarked = false
    this.#events.push({ type: 'call-broken', index: this.#calls++, text })
  }

  /** No text follows. */
  finish(): void {
    if (this.#space !== '' && !this.#isMarked && !this.isReasoning) this.#sayAll(this.#space)
    this.#space = ''
  }

  /** The events since the last time. */
  take(): ToolCallEvent[] {
    return this.#events.splice(0)
  }

  #sayAll(text: string): void {
    this.isFresh = false
    this.#isMarked = false
    this.isAfterCall = false
    this.#events.push({ type: this.isReasoning ? 'reasoning' : 'text', text })
  }
}

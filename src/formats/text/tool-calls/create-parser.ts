// Reads an answer in pieces and emits its text, reasoning and calls. Independent of formats, which
// define what opens a call and how it is read (tool-call-format.ts).

import { EventWriter } from './event-writer.ts'
import { CallInput, MalformedCall } from './reading/call-input.ts'
import type {
  CallOpener,
  ReasoningMarkers,
  ToolCallEvent,
  ToolCallFormat,
  ToolDefinition,
} from './tool-call-format.ts'

export interface ToolCallParserOptions {
  /**
   * The functions that were offered. Where a call has no marker, only their names make it one.
   * Without the option every name does; an empty list finds no calls.
   */
  readonly tools?: readonly ToolDefinition[] | undefined
  /** The prompt ended inside of reasoning (`isInsideReasoning`). Default false. */
  readonly inReasoning?: boolean | undefined
}

export interface ToolCallParser {
  /** Takes a piece of the answer's text; what is certain now. */
  push(piece: string): ToolCallEvent[]
  /** The rest, when no text follows. */
  end(): ToolCallEvent[]
}

export const createToolCallParser = (
  format: ToolCallFormat,
  options: ToolCallParserOptions = {},
): ToolCallParser => new AnswerReader(format, options)

/** Whether a prompt ends inside of reasoning, as templates that always let a model think end it. */
export function isInsideReasoning(format: ToolCallFormat, prompt: string): boolean {
  const end = prompt.trimEnd()
  return format.reasoning.some(({ open }) => end.endsWith(open))
}

/** A call that is being read. */
interface RunningCall {
  readonly opener: CallOpener
  readonly input: CallInput
  readonly reading: Generator<void, void>
  /** One of its calls has ended: what is malformed now is not the marker's text. */
  hasCalled: boolean
}

/** The possible beginnings of a text, and what follows each. */
interface Beginning {
  readonly marker: string
  /** Takes the text, which begins with the marker. */
  readonly open: (text: string) => void
}

const isHighSurrogate = (text: string): boolean => /[\ud800-\udbff]$/.test(text)

/** How many characters at the end of a text may be the beginning of a marker. */
function countHeld(text: string, markers: readonly string[]): number {
  const longest = Math.max(0, ...markers.map(({ length }) => length - 1))
  for (let count = Math.min(longest, text.length); count > 0; count--)
    if (markers.some((marker) => marker.startsWith(text.slice(-count)))) return count
  return 0
}

/** The opener that comes first; of two at one place the one that is listed first. */
function findOpener(
  text: string,
  openers: readonly CallOpener[],
): { at: number; opener: CallOpener } | undefined {
  let first: { at: number; opener: CallOpener } | undefined
  for (const opener of openers) {
    const at = text.indexOf(opener.marker)
    if (at >= 0 && (first === undefined || at < first.at)) first = { at, opener }
  }
  return first
}

function* readNothing(): Generator<void, void> {}

class AnswerReader implements ToolCallParser {
  readonly #format: ToolCallFormat
  readonly #openers: readonly CallOpener[]
  readonly #bare: readonly CallOpener[]
  readonly #out = new EventWriter()
  /** Text that is not looked at yet; what it may be depends on what follows. */
  #rest = ''
  /** What ends the reasoning that is open; `atStart`: nothing of it was read. */
  #reasoning: { readonly markers: ReasoningMarkers; atStart: boolean } | undefined
  #call: RunningCall | undefined
  #surrogate = ''

  constructor(format: ToolCallFormat, { tools, inReasoning = false }: ToolCallParserOptions) {
    this.#format = format
    const openers = tools?.length === 0 ? [] : format.createOpeners(tools)
    const frames = (format.frames ?? []).map((marker) => ({
      marker,
      isFrame: true,
      read: readNothing,
    }))
    this.#openers = [...openers.filter(({ isBare }) => !isBare), ...frames]
    this.#bare = openers.filter(({ isBare }) => isBare)
    const [markers] = format.reasoning
    if (inReasoning && markers) this.#openReasoning(markers)
  }

  push(piece: string): ToolCallEvent[] {
    const text = this.#surrogate + piece
    // Half a character is kept back, so that no event ends in one.
    this.#surrogate = isHighSurrogate(text) ? text.slice(-1) : ''
    this.#take(text.slice(0, text.length - this.#surrogate.length))
    return this.#out.take()
  }

  end(): ToolCallEvent[] {
    this.#take(this.#surrogate)
    this.#surrogate = ''
    do {
      if (this.#call) {
        this.#call.input.isEnded = true
        this.#readCall(this.#call)
      }
      this.#scan(true)
    } while (this.#call)
    this.#out.say(this.#rest)
    this.#rest = ''
    this.#out.finish()
    return this.#out.take()
  }

  #take(text: string): void {
    if (this.#call) {
      this.#call.input.push(text)
      this.#readCall(this.#call)
    } else this.#rest += text
    this.#scan(false)
  }

  /** Looks for markers until text is missing. */
  #scan(isLast: boolean): void {
    let goesOn = true
    while (goesOn && !this.#call)
      goesOn = this.#reasoning ? this.#scanReasoning() : this.#scanText(isLast)
  }

  /** True if there is more to look at. */
  #scanReasoning(): boolean {
    const { markers, atStart } = this.#reasoning!
    const { open, close } = markers
    if (atStart) {
      // A model may repeat the marker that its prompt ended with.
      const text = this.#rest.trimStart()
      if (open.startsWith(text) && text !== open) return false
      if (text.startsWith(open)) this.#rest = text.slice(open.length)
      this.#reasoning!.atStart = false
    }
    const at = this.#rest.indexOf(close)
    if (at < 0) return this.#keep(countHeld(this.#rest, [close]))
    this.#out.say(this.#rest.slice(0, at))
    this.#rest = this.#rest.slice(at + close.length)
    this.#reasoning = undefined
    this.#out.mark()
    return true
  }

  #scanText(isLast: boolean): boolean {
    if (this.#out.isFresh) {
      const text = this.#rest.trimStart()
      const beginnings = this.#listBeginnings()
      const found = beginnings.find(({ marker }) => text.startsWith(marker))
      if (found) {
        this.#out.say(this.#rest.slice(0, this.#rest.length - text.length))
        found.open(text)
        return true
      }
      if (!isLast && beginnings.some(({ marker }) => marker.startsWith(text))) return false
    }
    const first = findOpener(this.#rest, this.#openers)
    if (!first) {
      const markers = this.#openers.map(({ marker }) => marker)
      return this.#keep(isLast ? 0 : countHeld(this.#rest, markers))
    }
    this.#out.say(this.#rest.slice(0, first.at))
    this.#open(first.opener, this.#rest.slice(first.at + first.opener.marker.length))
    return true
  }

  /** What may be where no text comes before. */
  #listBeginnings(): Beginning[] {
    const closers = this.#out.isAfterCall ? this.#format.closers : []
    return [
      ...this.#bare.map((opener) => ({
        marker: opener.marker,
        open: (text: string) => this.#open(opener, text),
      })),
      ...this.#format.reasoning.map((markers) => ({
        marker: markers.open,
        open: (text: string) => {
          this.#rest = text.slice(markers.open.length)
          this.#openReasoning(markers)
        },
      })),
      ...closers.map((marker) => ({
        marker,
        open: (text: string) => {
          this.#rest = text.slice(marker.length)
        },
      })),
    ]
  }

  /** Emits all but the last `count` characters; false, because nothing more can be emitted. */
  #keep(count: number): false {
    this.#out.say(this.#rest.slice(0, this.#rest.length - count))
    this.#rest = this.#rest.slice(this.#rest.length - count)
    return false
  }

  #openReasoning(markers: ReasoningMarkers): void {
    this.#reasoning = { markers, atStart: true }
    this.#out.mark(true)
  }

  #open(opener: CallOpener, text: string): void {
    if (opener.isFrame) {
      this.#rest = text
      return this.#out.mark()
    }
    const input = new CallInput()
    const out = this.#out
    const reading = opener.read(input, {
      start: (name) => out.start(name),
      append: (json) => out.append(json),
      end: (id) => {
        out.end(id)
        call.hasCalled = true
        input.mark()
      },
    })
    const call: RunningCall = { opener, input, reading, hasCalled: false }
    this.#call = call
    this.#rest = ''
    input.push(text)
    this.#readCall(call)
  }

  #readCall(call: RunningCall): void {
    const { input, reading } = call
    try {
      const { done } = reading.next()
      input.flush()
      if (!done) return
      this.#rest = input.unread
    } catch (error) {
      if (!(error instanceof MalformedCall)) throw error
      input.stop()
      this.#break(call)
    }
    this.#call = undefined
  }

  /** What was taken for a call is text; what follows its marker is looked at once more. */
  #break({ opener, input, hasCalled }: RunningCall): void {
    const marker = hasCalled ? '' : opener.marker
    const before = opener.isBare ? '' : marker
    if (this.#out.isCalling) {
      this.#out.break(before + input.read)
      this.#rest = input.unread
      return
    }
    this.#out.say(marker)
    this.#rest = (before + input.read + input.unread).slice(marker.length)
  }
}

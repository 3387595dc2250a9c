// Calls that follow each other in a list, each behind its own marker.

import { type CallInput, dropSpace, requireText, takeText } from './call-input.ts'
import type { CallSink } from './call-sink.ts'

type CallReader = (input: CallInput, sink: CallSink) => Generator<void, void>

/** Reads one call or more, and the mark that ends the list, if present. */
export const createListReader = (open: string, readCall: CallReader, end: string): CallReader =>
  function* readList(input, sink) {
    yield* dropSpace(input)
    yield* requireText(input, open)
    yield* readCall(input, sink)
    for (;;) {
      yield* dropSpace(input)
      if (!(yield* takeText(input, open))) break
      yield* readCall(input, sink)
    }
    yield* takeText(input, end)
  }

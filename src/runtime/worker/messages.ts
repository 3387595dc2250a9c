// The messages of a remote object. They are plain objects that structured clone can copy, so a
// worker of a browser, a child process or another language runtime can use them.

import type { EncodedError } from './encode-error.ts'
import type { EncodedValue } from './encode-value.ts'

/** From the caller to the owner of the object. */
export type CallMessage =
  | {
      readonly type: 'call'
      /** Increasing; answers repeat it. */
      readonly id: number
      readonly method: string
      /** The list of arguments. */
      readonly args: EncodedValue
      /** Of a method that gives a sequence of values: how many may be sent before more credit. */
      readonly credit: number | undefined
    }
  /** Allows this many more values. */
  | { readonly type: 'credit'; readonly id: number; readonly count: number }
  /** The reader has left: the sequence ends. */
  | { readonly type: 'leave'; readonly id: number }
  | { readonly type: 'abort'; readonly signal: number; readonly reason: EncodedValue }
  /** No further calls: running ones are ended, then the object is closed. */
  | { readonly type: 'stop' }

/** From the owner of the object to the caller. */
export type AnswerMessage =
  /** The object is ready. */
  | { readonly type: 'ready' }
  /** There will be no object. */
  | { readonly type: 'failed'; readonly error: EncodedError }
  | { readonly type: 'result'; readonly id: number; readonly value: EncodedValue }
  /** One value of a sequence. */
  | { readonly type: 'item'; readonly id: number; readonly value: EncodedValue }
  | { readonly type: 'end'; readonly id: number }
  | { readonly type: 'error'; readonly id: number; readonly error: EncodedError }
  /** The object is closed. */
  | { readonly type: 'stopped'; readonly error: EncodedError | undefined }

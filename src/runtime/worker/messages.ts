// The messages of a remote object. Plain objects that structured clone copies: another language
// runtime, a browser's worker or a child process can speak them.

import type { EncodedError } from './encode-error.ts'
import type { EncodedValue } from './encode-value.ts'

/** From the caller to the owner of the object. */
export type CallMessage =
  | {
      readonly type: 'call'
      /** Rising; answers bear it. */
      readonly id: number
      readonly method: string
      /** The list of arguments. */
      readonly args: EncodedValue
      /** Of a method that gives a sequence of values: how many may be sent before more credit. */
      readonly credit: number | undefined
    }
  /** That many values more may be sent. */
  | { readonly type: 'credit'; readonly id: number; readonly count: number }
  /** No further value is read; the sequence ends. */
  | { readonly type: 'leave'; readonly id: number }
  | { readonly type: 'abort'; readonly signal: number; readonly reason: EncodedValue }
  /** No further call comes; what runs is ended, then the object is closed. */
  | { readonly type: 'stop' }

/** Back. */
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

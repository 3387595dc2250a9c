// A replica's side of the exchange: frames over two pipes that the process was started with. Reads
// and writes block, because a replica has nothing else to do while it waits for the others'
// gradients, and no data is copied twice.

import { readSync, writeSync } from 'node:fs'
import { WorkerError } from '../../base/errors.ts'
import type { Exchange } from '../../train/exchange.ts'
import { findErrorCode } from '../files/system-errors.ts'
import { decodeHeader, encodeHeader, headerBytes, splitNotes, viewFloatBytes } from './frames.ts'

/** File descriptors of a replica's process. */
export interface ReplicaPipes {
  readonly read: number
  readonly write: number
}

/** Where frames are read and written in a process that was started as a replica. */
export const replicaPipes: ReplicaPipes = { read: 3, write: 4 }

const gone = 'What adds up the gradients of the replicas is gone; this one ends.'

/** Sleeps without an event loop: a pipe that is not blocking had no room or no bytes. */
function waitShortly(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
}

/** The call's result, tried again while the pipe is busy. Throws WorkerError if it is closed. */
function attempt(call: () => number): number {
  for (;;)
    try {
      return call()
    } catch (cause) {
      const code = findErrorCode(cause)
      if (code === 'EAGAIN') waitShortly()
      else if (code === 'EPIPE' || code === 'EOF' || code === 'ECONNRESET')
        throw new WorkerError(gone, { cause })
      else throw cause
    }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;)
    at += attempt(() => writeSync(descriptor, bytes, at, bytes.length - at))
}

function readAll(descriptor: number, bytes: Uint8Array): Uint8Array {
  for (let at = 0; at < bytes.length;) {
    const got = attempt(() => readSync(descriptor, bytes, at, bytes.length - at, null))
    if (got === 0) throw new WorkerError(gone)
    at += got
  }
  return bytes
}

/** The exchange of a process that was started as replica `rank` of `size`. */
export function openPipeExchange(
  { rank, size }: { readonly rank: number; readonly size: number },
  { read, write }: ReplicaPipes = replicaPipes,
): Exchange {
  return {
    rank,
    size,
    // waiting blocks the thread; errors reject
    async meet({ step, note, values, stop = false }) {
      await Promise.resolve()
      const floats = values?.length ?? 0
      writeAll(write, encodeHeader({ rank, step, noteBytes: note.length, floats, stop }))
      writeAll(write, note)
      if (values) writeAll(write, viewFloatBytes(values))
      const answer = decodeHeader(readAll(read, new Uint8Array(headerBytes)))
      if (answer.step !== step)
        throw new WorkerError(`An answer is of step ${answer.step}, expected step ${step}.`)
      const notes = splitNotes(readAll(read, new Uint8Array(answer.noteBytes)), size)
      const room = values?.length === answer.floats ? values : new Float32Array(answer.floats)
      readAll(read, viewFloatBytes(room))
      return { notes, sums: answer.floats > 0 ? room : undefined, stop: answer.stop }
    },
  }
}

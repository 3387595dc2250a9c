// Adds up the gradients of replicas on one machine: reads a frame from each, and answers all of
// them with the sums. Independent of what the replicas are and how they were started.

import type { Readable, Writable } from 'node:stream'
import { WorkerError } from '../../base/errors.ts'
import { type Contribution, mergeContributions } from '../../train/exchange.ts'
import { decodeHeader, encodeHeader, headerBytes, joinNotes, viewFloatBytes } from './frames.ts'

/** A replica's two pipes, seen from outside. */
export interface ReplicaLink {
  readonly from: Readable
  readonly to: Writable
}

/** The times of one exchange. */
export interface ExchangeReport {
  readonly step: number
  /** From the last replica's first byte to the last byte of the answers. */
  readonly ms: number
  /** How long the first replica waited for the last. */
  readonly waitedMs: number
  /** The rank of the last. */
  readonly slowest: number
}

export interface RelayOptions {
  readonly onExchange?: (report: ExchangeReport) => void
  /** Asks all replicas to stop after the step that they are at. */
  readonly signal?: AbortSignal | undefined
  readonly now?: () => number
}

/** Bytes of a stream in pieces of the sizes that are asked for. */
function createByteReader(stream: Readable) {
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  let left: Uint8Array = new Uint8Array(0)
  return {
    /** Fills the array; returns how many bytes there were before the stream ended. */
    async readInto(into: Uint8Array): Promise<number> {
      let at = 0
      while (at < into.length) {
        if (left.length === 0) {
          const next = await chunks.next()
          if (next.done) return at
          left = next.value
        }
        const part = left.subarray(0, into.length - at)
        into.set(part, at)
        at += part.length
        left = left.subarray(part.length)
      }
      return at
    },
  }
}

/** Frames of one replica. Throws FormatError for invalid bytes. */
function createFrameReader({ from }: ReplicaLink, rank: number, now: () => number) {
  const bytes = createByteReader(from)
  const header = new Uint8Array(headerBytes)
  let kept = new Float32Array(0)
  const fillWhole = async (into: Uint8Array): Promise<void> => {
    const got = await bytes.readInto(into)
    if (got < into.length)
      throw new WorkerError(`Replica ${rank} ended within a frame, after ${got} bytes of a part.`)
  }
  return {
    /** The next contribution with the time at which it began; undefined after the last. */
    async next(): Promise<{ contribution: Contribution; begun: number } | undefined> {
      const got = await bytes.readInto(header)
      if (got === 0) return undefined
      const begun = now()
      const { rank: said, step, noteBytes, floats, stop } = decodeHeader(header.subarray(0, got))
      if (said !== rank) throw new WorkerError(`A replica sent rank ${said}, expected ${rank}.`)
      const note = new Uint8Array(noteBytes)
      await fillWhole(note)
      if (kept.length !== floats) kept = new Float32Array(floats)
      await fillWhole(viewFloatBytes(kept))
      return { contribution: { step, note, values: floats > 0 ? kept : undefined, stop }, begun }
    },
  }
}

const writeBytes = (to: Writable, bytes: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => {
    to.write(bytes, (error) => (error ? reject(error) : resolve()))
  })

/**
 * Serves the meetings of these replicas, by rank, until all have ended. Rejects with WorkerError if
 * one ends before the others or is at another step, with FormatError for an invalid frame.
 */
export async function serveMeetings(
  links: readonly ReplicaLink[],
  { onExchange, signal, now = () => performance.now() }: RelayOptions = {},
): Promise<void> {
  const readers = links.map((link, rank) => createFrameReader(link, rank, now))
  for (;;) {
    const frames = await Promise.all(readers.map((reader) => reader.next()))
    const there = frames.filter((frame) => frame !== undefined)
    if (there.length === 0) return
    if (there.length < frames.length)
      throw new WorkerError(`Replica ${frames.indexOf(undefined)} ended before the others.`)
    const begun = there.map((frame) => frame.begun)
    const { step } = there[0]!.contribution
    const merged = mergeContributions(there.map(({ contribution }) => contribution))
    const stop = merged.stop || signal?.aborted === true
    const note = joinNotes(merged.notes)
    const floats = merged.sums?.length ?? 0
    const sums = viewFloatBytes(merged.sums ?? new Float32Array(0))
    await Promise.all(
      links.map(async ({ to }, rank) => {
        await writeBytes(to, encodeHeader({ rank, step, noteBytes: note.length, floats, stop }))
        await writeBytes(to, note)
        await writeBytes(to, sums)
      }),
    )
    const last = Math.max(...begun)
    onExchange?.({
      step,
      ms: now() - last,
      waitedMs: last - Math.min(...begun),
      slowest: begun.indexOf(last),
    })
  }
}

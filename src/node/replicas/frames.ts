// Frames between a replica and the process that adds up the gradients (relay.ts, or an actor of a
// cluster). A replica sends one frame a meeting and reads one as the answer. Little endian:
//
//   u32 magic "GRFT" · u16 version · u16 rank · u32 step · u32 bytes of the note · u32 floats · u32 flags
//   note (bytes) · values (f32)
//
// Flag 1 asks to stop after the step. In an answer the note is a list, by rank: u32 bytes, then the
// bytes; the values are the sums, and the flag is set if any replica asked.

import { FormatError } from '../../base/errors.ts'

export const frameMagic = 0x54465247
export const frameVersion = 1
export const headerBytes = 24
const maxNoteBytes = 2 ** 28 // the largest note is a reference's outputs for all rows
const maxFloats = 2 ** 28 // 1 GB

export interface FrameHeader {
  readonly rank: number
  readonly step: number
  readonly noteBytes: number
  readonly floats: number
  readonly stop: boolean
}

export function encodeHeader({ rank, step, noteBytes, floats, stop }: FrameHeader): Uint8Array {
  const view = new DataView(new ArrayBuffer(headerBytes))
  view.setUint32(0, frameMagic, true)
  view.setUint16(4, frameVersion, true)
  view.setUint16(6, rank, true)
  view.setUint32(8, step, true)
  view.setUint32(12, noteBytes, true)
  view.setUint32(16, floats, true)
  view.setUint32(20, stop ? 1 : 0, true)
  return new Uint8Array(view.buffer)
}

/** Throws FormatError for bytes that are not the header of a frame of this version. */
export function decodeHeader(bytes: Uint8Array): FrameHeader {
  if (bytes.length !== headerBytes)
    throw new FormatError(
      `A frame's header has ${bytes.length} bytes, expected ${headerBytes}: the other side is gone.`,
    )
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const magic = view.getUint32(0, true)
  if (magic !== frameMagic)
    throw new FormatError(
      `A frame begins with 0x${magic.toString(16)}, expected 0x${frameMagic.toString(16)}.`,
    )
  const version = view.getUint16(4, true)
  if (version !== frameVersion)
    throw new FormatError(
      `A frame is of version ${version}, expected ${frameVersion}: run the same version of Graft everywhere.`,
    )
  const header = {
    rank: view.getUint16(6, true),
    step: view.getUint32(8, true),
    noteBytes: view.getUint32(12, true),
    floats: view.getUint32(16, true),
    stop: view.getUint32(20, true) === 1,
  }
  if (header.noteBytes > maxNoteBytes || header.floats > maxFloats)
    throw new FormatError(
      `A frame claims to have ${header.noteBytes} bytes and ${header.floats} floats, which is too much.`,
    )
  const flags = view.getUint32(20, true)
  if (flags > 1) throw new FormatError(`A frame has the flags ${flags}, expected 0 or 1.`)
  return header
}

/** Notes of all ranks as the note of an answer. */
export function joinNotes(notes: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(notes.reduce((sum, { length }) => sum + 4 + length, 0))
  const view = new DataView(joined.buffer)
  let at = 0
  for (const note of notes) {
    view.setUint32(at, note.length, true)
    joined.set(note, at + 4)
    at += 4 + note.length
  }
  return joined
}

/** Throws FormatError if these are not the notes of `size` ranks. */
export function splitNotes(joined: Uint8Array, size: number): Uint8Array[] {
  const view = new DataView(joined.buffer, joined.byteOffset, joined.length)
  const notes: Uint8Array[] = []
  let at = 0
  while (notes.length < size) {
    const length = at + 4 <= joined.length ? view.getUint32(at, true) : Infinity
    if (at + 4 + length > joined.length)
      throw new FormatError(
        `An answer of ${joined.length} bytes ends within the note of rank ${notes.length}.`,
      )
    notes.push(joined.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  if (at !== joined.length)
    throw new FormatError(
      `An answer has ${joined.length - at} bytes after the notes of ${size} replicas.`,
    )
  return notes
}

/** An f32 array as the bytes that are sent. */
export const viewFloatBytes = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)

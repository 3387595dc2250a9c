// Reads a user's checkpoint from a store: its file and its parents, each checked against the hash
// that its child names.

import { FormatError } from '../../base/errors.ts'
import { toHex, computeSha256 } from '../../base/sha256.ts'
import {
  type CheckpointHeader,
  decodeCheckpoint,
  type DecodedCheckpoint,
  assembleImage,
} from './checkpoint-file.ts'
import { decodeTensors } from './state-image.ts'
import type { UserState } from './user-state.ts'
import type { UserStore } from './user-store.ts'

const itemStart = 'checkpoint-'
const digits = 12
/** Limit of a chain's files, because a hostile file could name one without end. */
export const maxChainLength = 64

export const formatItemName = (sequence: number): string =>
  itemStart + String(sequence).padStart(digits, '0')

export interface SequenceInfo {
  readonly sequence: number
  readonly sizeBytes: number
}

/** A user's checkpoints, the oldest first. */
export async function listSequences(store: UserStore, user: string): Promise<SequenceInfo[]> {
  const items = await store.list(user)
  return items
    .filter(
      ({ item }) => item.startsWith(itemStart) && /^\d{12}$/.test(item.slice(itemStart.length)),
    )
    .map(({ item, sizeBytes }) => ({ sequence: Number(item.slice(itemStart.length)), sizeBytes }))
}

/** One file, decoded. Throws FormatError if it is missing, torn or changed. */
export async function readCheckpointFile(
  store: UserStore,
  user: string,
  sequence: number,
): Promise<DecodedCheckpoint> {
  const name = describeCheckpoint(store, sequence)
  const found = await store.get(user, formatItemName(sequence))
  if (!found) throw new FormatError(`${name}: is missing.`)
  return decodeCheckpoint(name, found.bytes)
}

const describeCheckpoint = (store: UserStore, sequence: number): string =>
  `${store.name}: checkpoint ${sequence}`

export interface LoadedCheckpoint {
  readonly state: UserState
  readonly header: CheckpointHeader
  readonly image: Uint8Array
  /** Of the file, as a child names it. */
  readonly hash: string
  /** Deltas of the chain. */
  readonly links: number
}

/**
 * A checkpoint with its parents. Throws FormatError or UnsupportedError that names the invalid file of
 * the chain and the reason.
 */
export async function readChain(
  store: UserStore,
  user: string,
  sequence: number,
): Promise<LoadedCheckpoint> {
  const name = describeCheckpoint(store, sequence)
  const chain: DecodedCheckpoint[] = []
  for (let at: number | undefined = sequence; at !== undefined;) {
    const file: DecodedCheckpoint = await readCheckpointFile(store, user, at)
    const child = chain[0]?.header.parent
    if (child && child.hash !== toHex(file.hash))
      throw new FormatError(
        `${name}: is a delta against another checkpoint ${at} than the stored one (hashes differ).`,
      )
    chain.unshift(file)
    const parent: number | undefined = file.header.parent?.sequence
    if (parent !== undefined && (parent >= at || chain.length > maxChainLength))
      throw new FormatError(`${name}: its chain of parents has no whole checkpoint.`)
    at = parent
  }
  let image: Uint8Array | undefined
  for (const file of chain) image = assembleImage(name, file, image)
  const { header, hash } = chain.at(-1)!
  if (toHex(await computeSha256(image!)) !== header.imageHash)
    throw new FormatError(
      `${name}: its blocks do not give the image that was written (hashes differ).`,
    )
  const { places, exact } = header
  const state = {
    tensors: decodeTensors({ bytes: image!, places }, name),
    header: header.header,
    ...(exact ? { exact } : {}),
  }
  return { state, header, image: image!, hash: toHex(hash), links: chain.length - 1 }
}

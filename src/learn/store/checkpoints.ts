// The history of users' states in a store: checkpoints that can be listed, read and restored. A
// write contains only the blocks that changed, and is refused where another process wrote in
// between. Independent of when to write and what a state means.

import {
  ConflictError,
  FormatError,
  GraftError,
  MismatchError,
  NotFoundError,
  UnsupportedError,
} from '../../base/errors.ts'
import { checkOptions, readOptions } from '../../base/schema.ts'
import { computeSha256, toHex } from '../../base/sha256.ts'
import { quoteName } from '../../formats/quote.ts'
import { computeHashes, type ImageHashes } from './block-hashes.ts'
import {
  formatItemName,
  listSequences,
  type LoadedCheckpoint,
  readChain,
  readCheckpointFile,
} from './checkpoint-chain.ts'
import { type CheckpointHeader, encodeCheckpoint } from './checkpoint-file.ts'
import {
  checkpointFields,
  type OpenedState,
  type RefusedCheckpoint,
  type UserCheckpointInfo,
  type UserCheckpointOptions,
  type WriteCheckpointOptions,
  writeCheckpointFields,
} from './checkpoint-info.ts'
import { encodeState, type StateForm, type StateImage } from './state-image.ts'
import { checkShapes, type StateShapes, type UserState } from './user-state.ts'
import { absentVersion, type UserStore } from './user-store.ts'

/** The kept part of the newest checkpoint, so that the next one can be a delta against it. */
interface Tip {
  /** Number of the newest file, valid or not. */
  readonly newest: number
  readonly info: UserCheckpointInfo
  readonly base: number
  readonly hash: string
  readonly links: number
  /** Everything but time and blocks as JSON, to find out whether anything changed. */
  readonly description: string
  readonly hashes: ImageHashes
}

const serializeDescription = (
  form: StateForm,
  places: StateImage['places'],
  { header, exact }: UserState,
): string => JSON.stringify([form, places, header, exact ?? []])

// A delta with more than this share of the blocks saves little and lengthens every read.
const maxDeltaShare = 0.5

/**
 * Checkpoints of all users of a store. Calls for one user must not overlap; a `SaveQueue` prevents
 * that.
 *
 *     const checkpoints = new UserCheckpoints(store, { form: 'f16' })
 *     const opened = await checkpoints.open('ada', shapes)
 *     await checkpoints.write('ada', state, Date.now())
 */
export class UserCheckpoints {
  readonly store: UserStore
  readonly #form: StateForm
  readonly #keep: number
  readonly #deltas: number
  readonly #tips = new Map<string, Tip>()

  /** Throws OptionError for invalid options. */
  constructor(store: UserStore, options: UserCheckpointOptions = {}) {
    const { form, keep, deltas } = readOptions('User checkpoints', options, checkpointFields)
    this.store = store
    this.#form = form
    this.#keep = keep
    this.#deltas = deltas
  }

  /**
   * The newest valid checkpoint of a user that has these shapes; undefined for a user without
   * checkpoints. Throws FormatError if there are some and none can be used, because only the caller
   * may decide to start over.
   */
  async open(user: string, shapes: StateShapes = new Map()): Promise<OpenedState | undefined> {
    const sequences = await listSequences(this.store, user)
    const refused: RefusedCheckpoint[] = []
    for (const { sequence, sizeBytes } of sequences.toReversed()) {
      try {
        const read = await readChain(this.store, user, sequence)
        checkShapes(`${this.store.name}: checkpoint ${sequence}`, read.state.tensors, shapes)
        const { time, form } = read.header
        await this.#remember(user, sequences.at(-1)!.sequence, { sequence, sizeBytes }, read)
        return { state: read.state, sequence, time, form, refused }
      } catch (error) {
        if (!isRefusal(error)) throw error
        refused.push({ sequence, reason: error.message })
      }
    }
    if (refused.length === 0) return undefined
    const reasons = refused.map(({ reason }) => `  ${reason}`).join('\n')
    throw new FormatError(
      `${this.store.name}: user ${quoteName(user)} has checkpoints, and none can be used:\n${reasons}\nForget the user to start over.`,
    )
  }

  /**
   * Writes a checkpoint of the state at the time of the call, or nothing where nothing changed;
   * returns the newest checkpoint's description. `time` is in milliseconds since 1970. Rejects with
   * ConflictError if the user's newest checkpoint is not the one that was opened or written here
   * last, with StorageError where the store fails, with NumericError for NaN; then the history is
   * as it was.
   */
  async write(
    user: string,
    state: UserState,
    time: number,
    options: WriteCheckpointOptions = {},
  ): Promise<UserCheckpointInfo> {
    const { form = this.#form, keep = this.#keep, onTop = false, alone = false } = options
    checkOptions('Checkpoint', options, writeCheckpointFields)
    const image = encodeState(state, form) // before the first await, because the state may change
    const text = serializeDescription(form, image.places, state)
    const own = {
      header: structuredClone(state.header),
      ...(state.exact ? { exact: [...state.exact] } : {}),
    }
    const hashes = await computeHashes(image.bytes, this.#tips.get(user)?.hashes)
    const blockHashes = hashes.blocks
    const { tip, newest } = await this.#newest(user, onTop)
    const changed = blockHashes.flatMap((hash, block) =>
      hash === tip?.hashes.blocks[block] ? [] : [block],
    )
    if (!alone && tip && tip.description === text && changed.length === 0) return tip.info
    const whole =
      alone ||
      !tip ||
      tip.links >= this.#deltas ||
      tip.info.form !== form ||
      changed.length > maxDeltaShare * blockHashes.length
    const sequence = newest + 1
    const header: CheckpointHeader = {
      time,
      form,
      ...(whole ? {} : { parent: { sequence: tip.info.sequence, hash: tip.hash } }),
      base: whole ? sequence : tip.base,
      imageBytes: image.bytes.length,
      imageHash:
        blockHashes.length === 1 ? blockHashes[0]! : toHex(await computeSha256(image.bytes)),
      blocks: whole ? blockHashes.map((_, block) => block) : changed,
      places: image.places,
      ...own,
    }
    const { file, hash } = await encodeCheckpoint(header, image.bytes)
    await this.store.put(user, formatItemName(sequence), file, absentVersion)
    const info = { sequence, time, form, whole, sizeBytes: file.length }
    const links = whole ? 0 : tip.links + 1
    this.#tips.set(user, {
      newest: sequence,
      info,
      base: header.base,
      hash: toHex(hash),
      links,
      description: text,
      hashes,
    })
    if (alone) await this.#replaceHistory(user, sequence)
    else if (whole) await this.#prune(user, keep)
    return info
  }

  /** Every checkpoint of a user, the oldest first; invalid ones with the reason. */
  async list(
    user: string,
  ): Promise<(UserCheckpointInfo | (RefusedCheckpoint & { readonly sizeBytes: number }))[]> {
    const rows = (await listSequences(this.store, user)).map(async ({ sequence, sizeBytes }) => {
      try {
        const { header } = await readChain(this.store, user, sequence)
        return {
          sequence,
          time: header.time,
          form: header.form,
          whole: header.parent === undefined,
          sizeBytes,
        }
      } catch (error) {
        if (!isRefusal(error)) throw error
        return { sequence, sizeBytes, reason: error.message }
      }
    })
    return Promise.all(rows)
  }

  /**
   * One checkpoint's state. Throws NotFoundError for an unknown number, FormatError for an invalid
   * file.
   */
  async read(user: string, sequence: number): Promise<UserState> {
    if (!(await listSequences(this.store, user)).some((found) => found.sequence === sequence))
      throw new NotFoundError(
        `${this.store.name}: user ${quoteName(user)} has no checkpoint ${sequence}.`,
      )
    return (await readChain(this.store, user, sequence)).state
  }

  /**
   * Makes an older checkpoint the newest one by writing it again; later ones stay in the history.
   * Returns its state.
   */
  async restore(
    user: string,
    sequence: number,
    time: number,
    options: WriteCheckpointOptions = {},
  ): Promise<UserState> {
    const state = await this.read(user, sequence)
    await this.write(user, state, time, options)
    return state
  }

  /** Forgets the newest checkpoint of a user; call `open` before the next `write`. */
  release(user: string): void {
    this.#tips.delete(user)
  }

  /**
   * The checkpoint to write on and the newest number. Throws ConflictError if the newest file was
   * not read or written here.
   */
  async #newest(user: string, onTop: boolean): Promise<{ tip: Tip | undefined; newest: number }> {
    const sequences = await listSequences(this.store, user)
    const newest = sequences.at(-1)?.sequence ?? 0
    const tip = this.#tips.get(user)
    const known =
      (tip?.newest ?? 0) === newest &&
      (!tip || sequences.some(({ sequence }) => sequence === tip.info.sequence))
    if (known) return { tip, newest }
    if (onTop) return { tip: undefined, newest: Math.max(newest, tip?.newest ?? 0) }
    const seen = tip ? `checkpoint ${tip.newest}` : 'none of them'
    throw new ConflictError(
      `${this.store.name}: user ${quoteName(user)} is at checkpoint ${newest || 'none'}, and this writer knows ${seen}: another process wrote in ` +
        `between. Nothing was written; open the user again, or write on top, which leaves both in the history.`,
    )
  }

  async #remember(
    user: string,
    newest: number,
    { sequence, sizeBytes }: { sequence: number; sizeBytes: number },
    read: LoadedCheckpoint,
  ): Promise<void> {
    const { header, image, hash, links, state } = read
    const { time, form, base, places } = header
    const info = { sequence, time, form, whole: header.parent === undefined, sizeBytes }
    const hashes = await computeHashes(image)
    this.#tips.set(user, {
      newest,
      info,
      base,
      hash,
      links,
      description: serializeDescription(form, places, state),
      hashes,
    })
  }

  /**
   * Removes checkpoints older than the oldest that stays and its parents. The new checkpoint is
   * already written, so a failure here loses nothing.
   */
  async #prune(user: string, keep: number): Promise<void> {
    try {
      const sequences = (await listSequences(this.store, user)).map(({ sequence }) => sequence)
      if (sequences.length <= keep) return
      const oldest = sequences.at(-keep)!
      const { base } = (await readCheckpointFile(this.store, user, oldest)).header
      await this.#removeBefore(user, base)
    } catch (error) {
      if (!GraftError.isInstance(error)) throw error
    }
  }

  async #replaceHistory(user: string, sequence: number): Promise<void> {
    await this.#removeBefore(user, sequence)
    await this.store.purge?.()
  }

  async #removeBefore(user: string, first: number): Promise<void> {
    for (const { sequence } of await listSequences(this.store, user))
      if (sequence < first) await this.store.delete(user, formatItemName(sequence))
  }
}

/** Errors about a file's content, not about the store. */
const isRefusal = (error: unknown): error is Error =>
  [FormatError, UnsupportedError, MismatchError].some((kind) => error instanceof kind)

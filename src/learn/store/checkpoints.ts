// The history of users' states in a store: versions that can be listed, read and restored. A write
// holds only the blocks that changed, and is refused where somebody else wrote in between. Decides
// neither when to write nor what a state means.

import {
  ConflictError,
  FormatError,
  GraftError,
  MismatchError,
  NotFoundError,
  OptionError,
  UnsupportedError,
} from '../../base/errors.ts'
import { toHex, computeSha256 } from '../../base/sha256.ts'
import { quoteName } from '../../formats/quote.ts'
import {
  formatItemName,
  maxChainLength,
  readChain,
  type LoadedCheckpoint,
  readCheckpointFile,
  listSequences,
} from './checkpoint-chain.ts'
import {
  blockBytes,
  countBlocks,
  blockOf,
  type CheckpointHeader,
  encodeCheckpoint,
} from './checkpoint-file.ts'
import { encodeState, type StateForm, stateForms, type StateImage } from './state-image.ts'
import { checkShapes, type StateShapes, type UserState } from './user-state.ts'
import { absentVersion, type UserStore } from './user-store.ts'

export interface UserCheckpointOptions {
  /** How f32 matrices are kept; f32 unless told. */
  readonly form?: StateForm
  /**
   * Checkpoints that stay; 8 unless told. Those that a younger one was laid over stay with it, and
   * old ones go when a whole one is written.
   */
  readonly keep?: number
  /**
   * Files that hold only changes, between two whole ones; 8 unless told, 0 for whole ones only, at
   * most 63.
   */
  readonly deltas?: number
}

export interface WriteCheckpointOptions extends Pick<UserCheckpointOptions, 'form' | 'keep'> {
  /**
   * Write also where the newest checkpoint was never read here or is somebody else's; theirs stays
   * in the history.
   */
  readonly onTop?: boolean
}

export interface UserCheckpointInfo {
  readonly sequence: number
  /** Milliseconds since 1970, as the writer gave it. */
  readonly time: number
  readonly form: StateForm
  readonly whole: boolean
  readonly sizeBytes: number
}

export interface RefusedCheckpoint {
  readonly sequence: number
  readonly reason: string
}

export interface OpenedState {
  readonly state: UserState
  readonly sequence: number
  readonly time: number
  readonly form: StateForm
  /** Younger checkpoints that could not be used, each with its reason. */
  readonly refused: readonly RefusedCheckpoint[]
}

/** What must be remembered of the newest checkpoint, so that the next one can be laid over it. */
interface Tip {
  /** Of the newest file, sound or not: the next one has the number after it. */
  readonly newest: number
  readonly info: UserCheckpointInfo
  readonly base: number
  readonly hash: string
  readonly links: number
  /** Everything but time and blocks, as text: tells whether anything changed at all. */
  readonly description: string
  readonly hashes: ImageHashes
}

const serializeDescription = (
  form: StateForm,
  places: StateImage['places'],
  { header, exact }: UserState,
): string => JSON.stringify([form, places, header, exact ?? []])

interface ImageHashes {
  readonly blocks: readonly string[]
  /**
   * Of 16 blocks each: where one is known, its blocks need not be hashed one by one, which takes
   * longer than the hashing.
   */
  readonly groups: readonly string[]
}

const groupBlocks = 16

async function computeHashes(image: Uint8Array, known?: ImageHashes): Promise<ImageHashes> {
  const blocks = countBlocks(image.length)
  const bytesOfGroup = groupBlocks * blockBytes
  const groups = await Promise.all(
    Array.from({ length: Math.ceil(blocks / groupBlocks) }, async (_, group) =>
      toHex(await computeSha256(image.subarray(group * bytesOfGroup, (group + 1) * bytesOfGroup))),
    ),
  )
  const byGroup = groups.map(async (hash, group) => {
    const first = group * groupBlocks
    const end = Math.min(blocks, (group + 1) * groupBlocks)
    if (known?.groups[group] === hash) return known.blocks.slice(first, end)
    return Promise.all(
      Array.from({ length: end - first }, async (_, i) =>
        toHex(await computeSha256(blockOf(image, first + i))),
      ),
    )
  })
  return { groups, blocks: (await Promise.all(byGroup)).flat() }
}

// a file with more than this share of the blocks saves little and lengthens every read
const wholeAbove = 0.5

/**
 * Checkpoints of all users of a store. Calls for one user must not overlap; `SaveQueue` sees to
 * that.
 *
 *     const checkpoints = new Checkpoints(store, { form: 'f16' })
 *     const opened = await checkpoints.open('ada', shapes)
 *     await checkpoints.write('ada', state, Date.now())
 */
export class UserCheckpoints {
  readonly store: UserStore
  readonly #form: StateForm
  readonly #keep: number
  readonly #deltas: number
  readonly #tips = new Map<string, Tip>()

  /** Throws OptionError for a form, a count of versions or of deltas that there is not. */
  constructor(
    store: UserStore,
    { form = 'f32', keep = 8, deltas = 8 }: UserCheckpointOptions = {},
  ) {
    checkOptions(form, keep, deltas)
    this.store = store
    this.#form = form
    this.#keep = keep
    this.#deltas = deltas
  }

  /**
   * The newest sound checkpoint of a user that has these shapes, or undefined where there is none
   * at all. Throws FormatError where there are some and none can be used: starting over is not for
   * us to choose.
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
      `${this.store.name}: user ${quoteName(user)} has checkpoints, and none can be used:\n${reasons}\nForget the user to start anew.`,
    )
  }

  /**
   * Writes a checkpoint of the state as it is when this is called, and says what was written;
   * nothing is, where nothing changed. `time` is in milliseconds since 1970. Rejects with
   * ConflictError where the user's newest checkpoint is not the one that was opened or written here
   * last, with StorageError where the store fails, with NumericError for NaN; then the history is
   * as it was.
   */
  async write(
    user: string,
    state: UserState,
    time: number,
    options: WriteCheckpointOptions = {},
  ): Promise<UserCheckpointInfo> {
    const { form = this.#form, keep = this.#keep, onTop = false } = options
    checkOptions(form, keep, this.#deltas)
    const image = encodeState(state, form) // before the first await: the state may go on changing
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
    if (tip && tip.description === text && changed.length === 0) return tip.info
    const whole =
      !tip ||
      tip.links >= this.#deltas ||
      tip.info.form !== form ||
      changed.length > wholeAbove * blockHashes.length
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
    if (whole) await this.#prune(user, keep)
    return info
  }

  /**
   * Every checkpoint of a user, the oldest first; those that cannot be read have the reason in
   * place of what they hold.
   */
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
   * One checkpoint's state. Throws NotFoundError where there is none of that number, FormatError
   * where it is not sound.
   */
  async read(user: string, sequence: number): Promise<UserState> {
    if (!(await listSequences(this.store, user)).some((found) => found.sequence === sequence))
      throw new NotFoundError(
        `${this.store.name}: user ${quoteName(user)} has no checkpoint ${sequence}.`,
      )
    return (await readChain(this.store, user, sequence)).state
  }

  /**
   * Makes an older checkpoint the newest one, by writing it again: what came after it stays in the
   * history. Gives its state.
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

  /** Drops what is remembered of a user; the next write needs an `open` before it. */
  release(user: string): void {
    this.#tips.delete(user)
  }

  /**
   * The tip to write upon and the newest number. Throws ConflictError where the newest file is not
   * the one that this side knows.
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
      `${this.store.name}: user ${quoteName(user)} is at checkpoint ${newest || 'none'}, and this writer knows ${seen}: somebody else wrote in ` +
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
   * Removes what is older than the oldest that stays and than what that one was laid over. The
   * checkpoint itself is written: failing here harms nobody.
   */
  async #prune(user: string, keep: number): Promise<void> {
    try {
      const sequences = (await listSequences(this.store, user)).map(({ sequence }) => sequence)
      if (sequences.length <= keep) return
      const oldest = sequences.at(-keep)!
      const { base } = (await readCheckpointFile(this.store, user, oldest)).header
      for (const sequence of sequences)
        if (sequence < base) await this.store.delete(user, formatItemName(sequence))
    } catch (error) {
      if (!GraftError.isInstance(error)) throw error
    }
  }
}

/** Errors that say that a file cannot be used; a store that fails is another matter. */
const isRefusal = (error: unknown): error is Error =>
  [FormatError, UnsupportedError, MismatchError].some((kind) => error instanceof kind)

function checkOptions(form: StateForm, keep: number, deltas: number): void {
  if (!stateForms.includes(form))
    throw new OptionError(`A form is one of ${stateForms.join(', ')}; got ${JSON.stringify(form)}.`)
  if (!(Number.isInteger(keep) && keep >= 1))
    throw new OptionError(`keep is a whole number of at least 1; got ${keep}.`)
  if (!(Number.isInteger(deltas) && deltas >= 0 && deltas < maxChainLength))
    throw new OptionError(
      `deltas is a whole number from 0 to ${maxChainLength - 1}; got ${deltas}.`,
    )
}

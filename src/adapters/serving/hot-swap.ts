// Swaps the value that serves requests while requests run, with an active and a standby slot.
// Independent of models and adapters: it takes any value, such as an adapter, a mixture or a
// prepared forward pass, and undefined for the base model alone.

import { OptionError } from '../../base/errors.ts'
import { checkOptions, unchecked } from '../../base/schema.ts'

export interface HotSwapOptions<Held> {
  /**
   * Prepares a standby before it may become active: checks, compiles, fills slots. If it throws,
   * the slots do not change.
   */
  readonly prepare?: (held: Held) => Promise<void> | void
}

/** One value in the active slot, with the passes that began on it. */
interface ActiveSlot<Held> {
  readonly held: Held
  passes: number
  readonly waiting: (() => void)[]
}

/**
 * A value on standby or swapped out. It is wrapped, because undefined (the base) is a value too.
 */
interface KeptSlot<Held> {
  readonly held: Held
}

const createSlot = <Held>(held: Held): ActiveSlot<Held> => ({ held, passes: 0, waiting: [] })

const waitUntilEmpty = (slot: ActiveSlot<unknown>): Promise<void> =>
  slot.passes === 0 ? Promise.resolve() : new Promise((resolve) => void slot.waiting.push(resolve))

/**
 * Swaps are atomic: a pass that began before the swap ends on the old value, a pass that begins
 * after it uses the new one.
 *
 *     const swap = new HotSwap(coder, { prepare: (adapter) => model.prepare(adapter) })
 *     await swap.prepare(reviewer)
 *     await swap.swap()      // resolves when the last pass on coder has ended
 *
 * `HotSwap<Expert | undefined>` also swaps to the base model: prepare(undefined), then swap.
 */
export class HotSwap<Held> {
  #active: ActiveSlot<Held>
  #standby: KeptSlot<Held> | undefined
  #previous: KeptSlot<Held> | undefined
  #swaps = 0
  readonly #prepare: NonNullable<HotSwapOptions<Held>['prepare']>

  constructor(active: Held, options: HotSwapOptions<Held> = {}) {
    checkOptions('HotSwap options', options, { prepare: unchecked('a function') })
    const { prepare = () => undefined } = options
    this.#active = createSlot(active)
    this.#prepare = prepare
  }

  /** The value that a pass uses which begins now. */
  get active(): Held {
    return this.#active.held
  }
  /**
   * The value that the next swap makes active; undefined if nothing, or the base, is on standby.
   */
  get standby(): Held | undefined {
    return this.#standby?.held
  }
  /** Whether something is on standby; true also for the base, which is undefined. */
  get hasStandby(): boolean {
    return this.#standby !== undefined
  }
  /** Whether passes still run on a value that was swapped out. */
  get isSwapping(): boolean {
    return this.#swaps > 0
  }
  /** The number of passes that run on the active value. */
  get passes(): number {
    return this.#active.passes
  }

  /**
   * Prepares a value and puts it on standby. The call that finishes last replaces earlier standbys.
   * Throws what preparing throws.
   */
  async prepare(held: Held): Promise<void> {
    await this.#prepare(held)
    this.#standby = { held }
  }

  /**
   * Makes the standby active immediately: the change is done when this returns, before its promise
   * resolves. The promise resolves with the old value when its last pass has ended: from then on
   * nothing uses it. Throws OptionError if nothing is on standby.
   */
  async swap(): Promise<Held> {
    const next = this.#standby
    if (next === undefined)
      throw new OptionError('Hot swap: nothing is on standby; call prepare first.')
    this.#standby = undefined
    return this.#change(next.held)
  }

  /**
   * Makes the value active again that the last swap replaced; it need not be prepared again. Throws
   * OptionError if there is none.
   */
  async rollBack(): Promise<Held> {
    const previous = this.#previous
    if (previous === undefined)
      throw new OptionError('Hot swap: there is nothing to roll back to; no swap was made.')
    return this.#change(previous.held)
  }

  /**
   * Runs a pass on the active value, which it keeps to its end, even if another one is swapped in.
   */
  async run<Result>(pass: (held: Held) => Promise<Result> | Result): Promise<Result> {
    const slot = this.#enter()
    try {
      return await pass(slot.held)
    } finally {
      this.#leave(slot)
    }
  }

  /**
   * The same for a stream. The pass begins at the stream's first read, and ends with the stream,
   * also if it is left early.
   */
  async *stream<Item>(pass: (held: Held) => AsyncIterable<Item>): AsyncGenerator<Item, void, void> {
    const slot = this.#enter()
    try {
      yield* pass(slot.held)
    } finally {
      this.#leave(slot)
    }
  }

  async #change(next: Held): Promise<Held> {
    const old = this.#active
    this.#active = createSlot(next)
    this.#previous = { held: old.held }
    this.#swaps++
    await waitUntilEmpty(old)
    this.#swaps--
    return old.held
  }

  #enter(): ActiveSlot<Held> {
    const slot = this.#active
    slot.passes++
    return slot
  }

  #leave(slot: ActiveSlot<Held>): void {
    if (--slot.passes === 0) for (const resolve of slot.waiting.splice(0)) resolve()
  }
}

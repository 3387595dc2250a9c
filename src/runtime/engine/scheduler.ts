// Decides what one step of the engine computes: which pieces of which prompts, which sequences get
// a token, which ones wait. Independent of tensors and programs.

import { assertInternal } from '../../base/errors.ts'
import type { Sequence } from './sequence.ts'

/** The scheduler's interface to the memory for rows. */
export interface RowKeeper<One extends Sequence> {
  /**
   * Opens a row with room for all tokens of the sequence. Returns the positions that a cached
   * prefix has filled; undefined if there is no row, too few blocks or no slot for the expert. If
   * it returns undefined or throws, nothing is taken.
   */
  open(sequence: One): Promise<number | undefined>
  /** Reserves one more position; false if there is no free block. */
  reserve(sequence: One): boolean
  /** Releases the row; its full blocks may stay cached. */
  close(sequence: One): void
}

export interface SchedulerOptions<One extends Sequence> {
  /** Sequences that have a row at a time. */
  readonly maxRows: number
  /** Tokens of prompts that one step computes at most. */
  readonly stepTokens: number
  /** Milliseconds after which a waiting sequence takes precedence over all others. */
  readonly maxWaitMs: number
  /** How many tokens of the sequence are computed next; at least 1. */
  readonly nextPiece: (sequence: One) => number
  /** Whether a waiting sequence must not get a row yet. Default: none of them. */
  readonly isHeld?: (sequence: One) => boolean
}

/** Tokens computed … computed + count − 1 of a sequence. */
export interface Piece<One extends Sequence> {
  readonly sequence: One
  readonly count: number
}

export interface StepPlan<One extends Sequence> {
  readonly pieces: readonly Piece<One>[]
  /** Sequences that get one token, oldest first. */
  readonly writing: readonly One[]
  /** Sequences that lost their row in this step. */
  readonly preempted: readonly One[]
  /** Sequences that got no row because there was no room, although it was their turn. */
  readonly refused: readonly One[]
  /** Sequences whose row could not be opened, with the reason; they still wait. */
  readonly failed: readonly { readonly sequence: One; readonly error: unknown }[]
}

/** The part of a plan that admission adds. */
interface Admission<One extends Sequence> {
  readonly pieces: Piece<One>[]
  readonly refused: One[]
  readonly failed: { readonly sequence: One; readonly error: unknown }[]
}

/**
 * Sequences run from the moment they get a row until they end. A free row goes to the sequence that
 * has waited longer than `maxWaitMs`, the longest first; if there is none, to the expert with the
 * fewest rows, and there to the oldest. So an expert with many requests cannot keep another one
 * from its first row, and no request waits forever. If blocks run out, the youngest running
 * sequence loses its row and is resumed later.
 */
export class Scheduler<One extends Sequence> {
  readonly #options: SchedulerOptions<One>
  readonly #keeper: RowKeeper<One>
  /** By id. A pre-empted sequence keeps its id, so it is ordered before later arrivals. */
  readonly #waiting: One[] = []
  /** By the time they got their row. */
  readonly #running: One[] = []

  constructor(options: SchedulerOptions<One>, keeper: RowKeeper<One>) {
    this.#options = options
    this.#keeper = keeper
  }

  get waiting(): readonly One[] {
    return this.#waiting
  }
  get running(): readonly One[] {
    return this.#running
  }

  add(sequence: One): void {
    assertInternal(sequence.state === 'waiting', 'only a waiting sequence is added')
    const at = this.#waiting.findIndex(({ id }) => id > sequence.id)
    this.#waiting.splice(at === -1 ? this.#waiting.length : at, 0, sequence)
  }

  /** Whether a sequence may take a free row out of turn: no older one has waited too long. */
  canJoin({ id }: One, now: number): boolean {
    const goesFirst = (one: One): boolean =>
      one.id < id && (one.preemptions > 0 || this.#isOverdue(one, now))
    return this.#running.length < this.#options.maxRows && !this.#listReady().some(goesFirst)
  }

  /**
   * Called when a waiting sequence got a row with all its tokens out of turn; it decodes from now
   * on.
   */
  join(sequence: One): void {
    const found = removeFrom(this.#waiting, sequence)
    assertInternal(found, 'only a waiting sequence joins')
    this.#running.push(sequence)
    sequence.state = 'writing'
    sequence.computed = sequence.tokens.length
  }

  /** Removes a sequence that has ended, and releases its row. */
  end(sequence: One): void {
    if (sequence.state === 'ended') return
    if (!removeFrom(this.#waiting, sequence)) {
      const found = removeFrom(this.#running, sequence)
      assertInternal(found, 'a sequence that has not ended is waiting or running')
      this.#keeper.close(sequence)
    }
    sequence.state = 'ended'
  }

  /** `now`: milliseconds. */
  async plan(now: number): Promise<StepPlan<One>> {
    const preempted = this.#makeRoom()
    const budget = { left: this.#options.stepTokens }
    const pieces = this.#running
      .filter(({ state }) => state === 'reading')
      .flatMap((sequence) => this.#takePiece(sequence, budget))
    const admission: Admission<One> = { pieces, refused: [], failed: [] }
    if (preempted.length === 0) await this.#admit(now, budget, admission)
    const writing = this.#running.filter(({ state }) => state === 'writing')
    return { ...admission, writing, preempted }
  }

  /**
   * Reserves one more position for every decoding sequence; the youngest are pre-empted if blocks
   * run out.
   */
  #makeRoom(): One[] {
    const preempted: One[] = []
    for (const sequence of this.#running.filter(({ state }) => state === 'writing')) {
      while (sequence.state === 'writing' && !this.#keeper.reserve(sequence)) {
        const youngest = this.#running.reduce((last, one) => (one.id > last.id ? one : last))
        this.#preempt(youngest)
        preempted.push(youngest)
      }
    }
    return preempted
  }

  #preempt(sequence: One): void {
    removeFrom(this.#running, sequence)
    this.#keeper.close(sequence)
    sequence.state = 'waiting'
    sequence.computed = 0
    sequence.preemptions++
    this.add(sequence)
  }

  #takePiece(sequence: One, budget: { left: number }): Piece<One>[] {
    if (budget.left <= 0) return []
    const count = this.#options.nextPiece(sequence)
    budget.left -= count
    return [{ sequence, count }]
  }

  async #admit(now: number, budget: { left: number }, into: Admission<One>): Promise<void> {
    for (const sequence of this.#orderWaiting(now)) {
      if (this.#running.length >= this.#options.maxRows || budget.left <= 0) break
      let cached: number | undefined
      try {
        cached = await this.#keeper.open(sequence)
      } catch (error) {
        into.failed.push({ sequence, error })
        continue
      }
      if (cached === undefined) {
        into.refused.push(sequence)
        // No other sequence overtakes one that has waited too long.
        if (this.#isOverdue(sequence, now) || sequence.preemptions > 0) break
        continue
      }
      removeFrom(this.#waiting, sequence)
      this.#running.push(sequence)
      sequence.state = 'reading'
      sequence.computed = cached
      into.pieces.push(...this.#takePiece(sequence, budget))
    }
  }

  #isOverdue({ arrivedAt }: One, now: number): boolean {
    return now - arrivedAt > this.#options.maxWaitMs
  }

  /** Waiting sequences that may get a row. */
  #listReady(): readonly One[] {
    const { isHeld } = this.#options
    return isHeld ? this.#waiting.filter((sequence) => !isHeld(sequence)) : this.#waiting
  }

  /** In the order in which free rows are assigned. */
  #orderWaiting(now: number): One[] {
    const waiting = this.#listReady()
    const first = waiting.filter(
      (sequence) => sequence.preemptions > 0 || this.#isOverdue(sequence, now),
    )
    const rows = new Map<string, number>()
    for (const { expert } of this.#running) rows.set(expert, (rows.get(expert) ?? 0) + 1)
    const others = waiting
      .filter((sequence) => !first.includes(sequence))
      .map((sequence) => {
        // The rows its expert will have once those before it in its queue are served.
        const before = rows.get(sequence.expert) ?? 0
        rows.set(sequence.expert, before + 1)
        return { sequence, before }
      })
      .toSorted((a, b) => a.before - b.before || a.sequence.id - b.sequence.id)
    return [...first, ...others.map(({ sequence }) => sequence)]
  }
}

function removeFrom<One>(list: One[], sequence: One): boolean {
  const at = list.indexOf(sequence)
  if (at >= 0) list.splice(at, 1)
  return at >= 0
}

// A hot swap whose experts are in an adapter pool: preparing an expert fills its slot, and the slot
// is kept until the last pass that uses the expert has ended.

import type { Expert } from '../../../adapters/index.ts'
import { HotSwap, type HotSwapOptions } from '../../../adapters/serving/hot-swap.ts'
import type { AdapterPool, ExpertHandle } from './adapter-pool.ts'

/** undefined: the base. */
export type SwappedExpert = string | Expert | ExpertHandle | undefined

/**
 * Swaps between what a pool serves. `expertOf` returns the expert of a value; a name means the
 * version that is current when a pass begins.
 *
 *     const swap = new ExpertSwap(pool, coder, (expert) => expert)
 *     await swap.prepare(reviewer)   // checked, and in its slot
 *     await swap.swap()              // resolves when the last pass on coder has ended
 */
export class ExpertSwap<Held> extends HotSwap<Held> {
  readonly #pool: AdapterPool
  readonly #expertOf: (held: Held) => SwappedExpert

  constructor(
    pool: AdapterPool,
    active: Held,
    expertOf: (held: Held) => SwappedExpert,
    { prepare, ...unknown }: HotSwapOptions<Held> = {},
  ) {
    const preparePooled = async (held: Held): Promise<void> => {
      await prepare?.(held)
      const expert = expertOf(held)
      if (expert !== undefined) await pool.preload(expert)
    }
    super(active, { ...unknown, prepare: preparePooled })
    this.#pool = pool
    this.#expertOf = expertOf
  }

  override run<Result>(pass: (held: Held) => Promise<Result> | Result): Promise<Result> {
    return super.run(async (held) => {
      const release = await this.#lease(held)
      try {
        return await pass(held)
      } finally {
        release()
      }
    })
  }

  override stream<Item>(
    pass: (held: Held) => AsyncIterable<Item>,
  ): AsyncGenerator<Item, void, void> {
    const lease = (held: Held): Promise<() => void> => this.#lease(held)
    return super.stream(async function* (held) {
      const release = await lease(held)
      try {
        yield* pass(held)
      } finally {
        release()
      }
    })
  }

  /**
   * Keeps the expert in its slot until the returned function is called. If the pool is full there
   * is no lease, and the requests of the pass wait for their own.
   */
  async #lease(held: Held): Promise<() => void> {
    const expert = this.#expertOf(held)
    const lease = expert === undefined ? undefined : await this.#pool.acquire(expert)
    return () => lease && this.#pool.release(lease)
  }
}

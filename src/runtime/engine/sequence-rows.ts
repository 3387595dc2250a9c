// What tasks hold while they run: a row for keys and values, and a lease of their expert. Taken
// together when a sequence gets its turn, given back together. Independent of programs.

import type { KvMemory } from './kv/kv-memory.ts'
import { BLOCK_SIZE } from './kv/kv-types.ts'
import { planPieces } from './pieces.ts'
import type { AdapterPool, Lease } from './pool/adapter-pool.ts'
import type { ServedSequence } from './request.ts'
import type { RowKeeper } from './scheduler.ts'

export interface SequenceRowsParts {
  readonly memory: KvMemory
  readonly pool: AdapterPool
  readonly pieceTokens: number
  readonly now: () => number
}

/** Whether an adapter acts by virtual tokens alone: once they are read, the base writes. */
export const isVirtual = ({ handle }: Pick<ServedSequence, 'handle'>): boolean =>
  (handle?.virtualTokens ?? 0) > 0

/** Rows of one group are served by one call: the path, and an adapter that no slot can hold. */
const toGroup = (task: ServedSequence, lease: Lease | undefined): string =>
  [
    task.settings.exact ? 'exact' : 'fast',
    ...(lease?.attached && !isVirtual(task) ? [lease.handle.key] : []),
  ].join(' ')

export class SequenceRows implements RowKeeper<ServedSequence> {
  readonly #parts: SequenceRowsParts

  constructor(parts: SequenceRowsParts) {
    this.#parts = parts
  }

  async open(task: ServedSequence): Promise<number | undefined> {
    const { memory, pool, now } = this.#parts
    const lease = task.handle && (await pool.acquire(task.handle))
    if (task.handle && !lease) return undefined
    const keys = task.settings.cache ? extendKeys(task) : []
    // The last token is always computed: its logits are wanted.
    const full = keys.slice(0, Math.floor((task.tokens.length - 1) / BLOCK_SIZE))
    const row = task.cancelled
      ? undefined
      : memory.open(toGroup(task, lease), {
          keys: full,
          cached: this.#countUsable(task, full, lease) / BLOCK_SIZE,
          tokens: task.tokens.length,
        })
    if (!row) {
      if (lease) pool.release(lease)
      return undefined
    }
    task.lease = lease
    task.row = row
    task.readTokens = task.tokens.length
    if (task.times.started === 0) {
      task.times.started = now()
      task.cachedTokens = Math.max(0, row.length - task.virtualTokens)
    }
    return row.length
  }

  /**
   * Cached positions that a task may begin with: whole pieces for an attached adapter, because the
   * numbers of its program depend on how a prompt is cut.
   */
  #countUsable(task: ServedSequence, keys: readonly string[], lease: Lease | undefined): number {
    if (!task.settings.cache || task.settings.states) return 0
    const { memory, pieceTokens } = this.#parts
    const cached = memory.countCached(keys) * BLOCK_SIZE
    const unit = lease?.attached && !isVirtual(task) ? pieceTokens : BLOCK_SIZE
    return planPieces(task.tokens.length, cached, pieceTokens, unit).start
  }

  reserve({ row }: ServedSequence): boolean {
    return this.#parts.memory.reserve(row!, 1)
  }

  close(task: ServedSequence): void {
    this.#parts.memory.close(task.row!)
    if (task.lease) this.#parts.pool.release(task.lease)
    task.row = undefined
    task.lease = undefined
  }

  /**
   * Leaves the row's blocks in the cache, those that were read in pieces: tokens that were written
   * one by one have other last bits, and a prompt that begins with cached blocks gives the bits of
   * a cold one.
   */
  publish(task: ServedSequence): void {
    if (!task.settings.cache || !task.row) return
    const blocks = Math.floor(Math.min(task.readTokens, task.row.length) / BLOCK_SIZE)
    this.#parts.memory.publish(task.row, extendKeys(task).slice(0, blocks))
  }
}

/** The keys of all full blocks of the task's tokens. */
function extendKeys(task: ServedSequence): readonly string[] {
  task.chain.append(task.tokens.slice(task.chained))
  task.chained = task.tokens.length
  return task.chain.keys
}

// The resources of running sequences: a row for keys and values, and a lease of their expert. Both
// are acquired together when the sequence is admitted, and released together. Independent of
// programs.

import { isVirtual } from './compose/expert-terms.ts'
import type { KvMemory, KvRow } from './kv/kv-memory.ts'
import { BLOCK_SIZE } from './kv/kv-types.ts'
import { MOST_DRAFTED } from './drafts/speculation.ts'
import { countWholePieces, planPieces } from './pieces.ts'
import type { AdapterPool, ExpertHandle, Lease } from './pool/adapter-pool.ts'
import type { ServedSequence } from './request.ts'
import type { RowKeeper } from './scheduler.ts'

export interface SequenceRowsParts {
  readonly memory: KvMemory
  readonly pool: AdapterPool
  readonly pieceTokens: number
  readonly now: () => number
}

/** The layer whose incoming states a sequence needs. */
export const getTapLayer = ({ settings }: ServedSequence): number | undefined =>
  settings.stage?.stage.tapLayer ?? settings.states?.layer

/** Whether a separate program of its adapter computes all its tokens. */
const isAttached = (task: ServedSequence, lease: Lease | undefined): boolean =>
  lease?.attached !== undefined && !isVirtual(task)

/**
 * The group of a row: rows of one group are served by one program. It consists of the path, the
 * tapped layer, and an adapter that no slot can hold.
 */
const toGroup = (task: ServedSequence, lease: Lease | undefined): string =>
  JSON.stringify([
    task.settings.exact ? 'exact' : 'fast',
    getTapLayer(task) ?? null,
    isAttached(task, lease) ? lease!.handle.key : null,
  ])

export class SequenceRows implements RowKeeper<ServedSequence> {
  readonly #parts: SequenceRowsParts

  constructor(parts: SequenceRowsParts) {
    this.#parts = parts
  }

  async open(task: ServedSequence): Promise<number | undefined> {
    const { pool, now } = this.#parts
    const leases = await this.#acquireAll(task)
    if (!leases) return undefined
    const [lease, ...later] = leases
    let row: KvRow | undefined
    try {
      row = this.#openRow(task, lease)
    } finally {
      if (!row) for (const one of leases) if (one) pool.release(one)
    }
    if (!row) return undefined
    task.lease = lease
    task.laterLeases = later
    task.row = row
    task.readTokens = task.tokens.length
    if (task.times.started === 0) {
      task.times.started = now()
      task.cachedTokens = Math.max(0, row.length - task.virtualTokens)
    }
    return row.length
  }

  /** A lease of each of its experts; undefined, and none is kept, if one of them gets no slot. */
  async #acquireAll(task: ServedSequence): Promise<(Lease | undefined)[] | undefined> {
    const { pool } = this.#parts
    const leases: (Lease | undefined)[] = []
    let isWhole = false
    try {
      for (const handle of listHandles(task)) {
        const lease = handle && (await pool.acquire(handle))
        if (handle && !lease) return undefined
        leases.push(lease)
      }
      isWhole = true
      return leases
    } finally {
      if (!isWhole) for (const lease of leases) if (lease) pool.release(lease)
    }
  }

  /**
   * Acquires a row and a lease for a copy of a task whose prompt is computed. Returns false, and
   * takes nothing, if there is no row or too few blocks.
   */
  fork(task: ServedSequence, copy: ServedSequence): boolean {
    const { pool, memory } = this.#parts
    const row = memory.fork(task.row!)
    if (!row) return false
    copy.row = row
    copy.lease = task.lease && pool.lease(task.lease.handle)
    copy.laterLeases = task.laterLeases.map((lease) => lease && pool.lease(lease.handle))
    copy.readTokens = copy.tokens.length
    copy.cachedTokens = task.cachedTokens
    copy.times.started = task.times.started
    return true
  }

  #openRow(task: ServedSequence, lease: Lease | undefined): KvRow | undefined {
    const keys = task.settings.cache ? extendKeys(task) : []
    // The last token is always computed: its logits are wanted.
    const keyed = Math.min(task.tokens.length - 1, countKeyed(task))
    const full = keys.slice(0, Math.floor(keyed / BLOCK_SIZE))
    return this.#parts.memory.open(toGroup(task, lease), {
      keys: full,
      cached: this.#countUsable(task, full, lease) / BLOCK_SIZE,
      tokens: task.tokens.length,
    })
  }

  /**
   * How many cached positions a sequence may begin with: whole pieces for an attached adapter,
   * because its program's results depend on how a prompt is cut.
   */
  #countUsable(task: ServedSequence, keys: readonly string[], lease: Lease | undefined): number {
    if (!task.settings.cache || task.settings.states) return 0
    // Every token of the prompt is computed again, because its logits are needed.
    if (task.scores && !task.scores.isComplete) return 0
    const { memory, pieceTokens } = this.#parts
    const cached = memory.countCached(keys) * BLOCK_SIZE
    const unit = isAttached(task, lease) ? pieceTokens : BLOCK_SIZE
    return planPieces(task.tokens.length, cached, pieceTokens, unit).start
  }

  /** Keeps its expert until `unclaim`, even if the name is unloaded in the meantime. */
  claim(task: ServedSequence): void {
    for (const handle of listHandles(task)) if (handle) this.#parts.pool.claim(handle)
  }

  unclaim(task: ServedSequence): void {
    for (const handle of listHandles(task)) if (handle) this.#parts.pool.unclaim(handle)
  }

  reserve({ row, speculation, answer }: ServedSequence): boolean {
    const { memory } = this.#parts
    const ahead = speculation ? Math.min(MOST_DRAFTED, answer.left - 1) : 0
    return (ahead > 0 && memory.reserve(row!, 1 + ahead)) || memory.reserve(row!, 1)
  }

  close(task: ServedSequence): void {
    this.#parts.memory.close(task.row!)
    for (const lease of [task.lease, ...task.laterLeases])
      if (lease) this.#parts.pool.release(lease)
    task.row = undefined
    task.lease = undefined
    task.laterLeases = []
  }

  /**
   * Adds the row's blocks to the cache, but only those computed in prefill: decoded tokens differ
   * in their last bits, and a cached prefix must give the same bits as an uncached one.
   */
  publish(task: ServedSequence): void {
    if (!task.settings.cache || !task.row) return
    const { memory, pieceTokens } = this.#parts
    // A scored prompt may have shorter pieces, and these programs' results depend on that.
    if (task.scores && isAttached(task, task.lease)) return
    const read = isAttached(task, task.lease)
      ? countWholePieces(task.readTokens, pieceTokens)
      : task.readTokens
    const blocks = Math.floor(Math.min(read, task.row.length, countKeyed(task)) / BLOCK_SIZE)
    memory.publish(task.row, extendKeys(task).slice(0, blocks))
  }
}

/** The experts of its stages, in order. */
const listHandles = ({ stages, handle }: ServedSequence): (ExpertHandle | undefined)[] =>
  stages ? stages.map((stage) => stage.handle) : [handle]

/**
 * How many tokens' blocks may be shared under their keys. For a fade, only the prompt's, because
 * its answer is computed by other experts than the one in the keys.
 */
const countKeyed = ({ stages, virtualTokens, promptTokens, tokens }: ServedSequence): number =>
  stages ? virtualTokens + promptTokens : tokens.length

/** The keys of all full blocks of a sequence's tokens. */
function extendKeys(task: ServedSequence): readonly string[] {
  task.chain.append(task.tokens.slice(task.chained))
  task.chained = task.tokens.length
  return task.chain.keys
}

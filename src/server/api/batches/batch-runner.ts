// Runs batches in the background: reads the input, sends its requests, writes the files of results.
// Continues batches that an earlier process left unfinished. Several batches share the places.

import type { FileStore } from '../files/file-store.ts'
import { answerLines, type AskRoute, Turnstile } from './answer-lines.ts'
import { type RequestBatch, type BatchCounts, type BatchTimes, hasEnded, noUsage } from './batch.ts'
import {
  addResultUsage,
  type BatchRequest,
  type BatchResult,
  checkBatchLines,
  isAnswered,
  parseBatchLine,
  Fault,
  readNumberedLines,
} from './batch-lines.ts'
import { collectResults, encodeLines } from './batch-results.ts'
import type { BatchStore } from './batch-store.ts'

export interface BatchRunnerParts {
  readonly store: BatchStore
  readonly files: FileStore
  /** Sends a request with the key that the batch belongs to. */
  readonly createAsk: (owner: string) => AskRoute
  /** Requests of all batches that run at a time. */
  readonly atATime: number
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly createId: (prefix: string) => string
  /**
   * Receives what stops a batch, other than its requests; the batch continues at the next start.
   */
  readonly onFailure: (what: string, error: unknown) => void
}

/** Why a batch stops before its last request. */
type StopReason = 'cancelled' | 'expired' | 'closed'

/** A running batch in its current state. */
interface Running {
  batch: RequestBatch
  readonly controller: AbortController
  ended: Promise<void>
}

const longestTimerMs = 2 ** 31 - 1

export class BatchRunner {
  readonly #parts: BatchRunnerParts
  readonly #turnstile: Turnstile
  readonly #running = new Map<string, Running>()
  #isClosed = false

  constructor(parts: BatchRunnerParts) {
    this.#parts = parts
    this.#turnstile = new Turnstile(parts.atATime)
  }

  /** Continues what an earlier run left. */
  async resume(): Promise<void> {
    for (const batch of await this.#parts.store.list()) if (!hasEnded(batch)) this.#start(batch)
  }

  /** In their current state, in the order in which they were made. */
  async list(): Promise<readonly RequestBatch[]> {
    const kept = await this.#parts.store.list()
    return kept.map((batch) => this.#running.get(batch.id)?.batch ?? batch)
  }

  async find(id: string): Promise<RequestBatch | undefined> {
    return this.#running.get(id)?.batch ?? this.#parts.store.find(id)
  }

  /** Takes a new batch. Its input file is copied, because the client may delete it meanwhile. */
  async add(batch: RequestBatch): Promise<void> {
    const { store, files } = this.#parts
    await store.writeInput(batch.id, toChunks(await files.read(batch.inputFileId)))
    await store.put(batch)
    this.#start(batch)
  }

  /**
   * Cancels a batch; running requests are aborted. Returns the batch in its current state;
   * undefined if it has ended.
   */
  async cancel(id: string): Promise<RequestBatch | undefined> {
    const running = this.#running.get(id)
    if (!running || !['validating', 'in_progress'].includes(running.batch.status)) return undefined
    await this.#move(running, 'cancelling')
    running.controller.abort('cancelled' satisfies StopReason)
    return running.batch
  }

  /** Aborts what runs; the next start continues it. */
  async close(): Promise<void> {
    this.#isClosed = true
    const all = [...this.#running.values()]
    for (const { controller } of all) controller.abort('closed' satisfies StopReason)
    await Promise.all(all.map(({ ended }) => ended))
  }

  /** Resolves when a batch has ended or was aborted. */
  async waitFor(id: string): Promise<void> {
    await this.#running.get(id)?.ended
  }

  #start(batch: RequestBatch): void {
    if (this.#isClosed) return
    const running = { batch, controller: new AbortController(), ended: Promise.resolve() }
    this.#running.set(batch.id, running)
    running.ended = this.#run(running)
      .catch((error: unknown) => this.#parts.onFailure(`the batch ${batch.id} stopped`, error))
      .finally(() => this.#running.delete(batch.id))
  }

  /** Sets a status and stores it. Counts are stored with the results, not after each one. */
  async #move(
    running: Running,
    status: RequestBatch['status'],
    more: Partial<RequestBatch> = {},
  ): Promise<void> {
    const { batch } = running
    const at = Math.floor(this.#parts.now() / 1000)
    const key = timeNames[status]
    const times = key === undefined ? batch.times : Object.assign({}, batch.times, { [key]: at })
    running.batch = Object.assign({}, batch, { status, times }, more)
    await this.#parts.store.put(running.batch)
  }

  async #run(running: Running): Promise<void> {
    const { signal } = running.controller
    if (running.batch.status === 'validating' && !(await this.#check(running))) return
    if (running.batch.status === 'in_progress')
      try {
        await this.#answer(running)
      } catch (error) {
        if (!signal.aborted) throw error
      }
    const { status } = running.batch
    const reason = signal.aborted ? (signal.reason as StopReason) : undefined
    if (reason === 'closed') return
    const isCancelled = reason === 'cancelled' || status === 'cancelling'
    await this.#finish(running, isCancelled ? 'cancelled' : (reason ?? 'completed'))
  }

  /** Whether the batch may continue: all its lines are valid. */
  async #check(running: Running): Promise<boolean> {
    const { id, endpoint } = running.batch
    const { total, problems } = await checkBatchLines(this.#readLines(id), endpoint)
    if (running.batch.status !== 'validating') return true // it was cancelled meanwhile
    if (problems.length === 0) {
      const counts = { total, completed: 0, failed: 0 }
      await this.#move(running, 'in_progress', { counts })
      return true
    }
    await this.#move(running, 'failed', { problems })
    await this.#parts.store.clear(id)
    return false
  }

  #readLines(id: string) {
    return readNumberedLines(this.#parts.store.readInput(id))
  }

  async #answer(running: Running): Promise<void> {
    const { store, createAsk, atATime, createId, now } = this.#parts
    const { controller, batch } = running
    const { id, owner, expiresAt } = batch
    const done = new Set<string>()
    const count = (result: BatchResult): void => {
      done.add(result.custom_id)
      running.batch = Object.assign({}, running.batch, {
        counts: countResult(running.batch.counts, result),
        usage: addResultUsage(running.batch.usage, result),
      })
    }
    const counts = { total: batch.counts.total, completed: 0, failed: 0 }
    running.batch = Object.assign({}, batch, { counts, usage: noUsage })
    for (const line of await store.readResults(id)) count(JSON.parse(line) as BatchResult)
    const left = expiresAt * 1000 - now()
    const expire = (): void => controller.abort('expired' satisfies StopReason)
    const timer = setTimeout(expire, Math.min(longestTimerMs, Math.max(0, left)))
    try {
      if (left <= 0) expire()
      await answerLines(this.#readRequests(batch, done), {
        ask: createAsk(owner),
        turnstile: this.#turnstile,
        atATime,
        signal: controller.signal,
        createId: () => createId('batch_req_'),
        onResult: async (result) => {
          await store.addResults(id, [JSON.stringify(result)])
          count(result)
        },
      })
    } finally {
      clearTimeout(timer)
    }
  }

  /** Requests without a result. */
  async *#readRequests(
    { id, endpoint }: RequestBatch,
    done: ReadonlySet<string>,
  ): AsyncGenerator<BatchRequest> {
    for await (const { text } of this.#readLines(id)) {
      const request = parseBatchLine(text, endpoint)
      if (!(request instanceof Fault) && !done.has(request.customId)) yield request
    }
  }

  /** Writes the files of results, in the order of the input. */
  async #finish(running: Running, end: 'completed' | 'cancelled' | 'expired'): Promise<void> {
    const { store, files, createId, now } = this.#parts
    if (end === 'completed') await this.#move(running, 'finalizing')
    const { batch } = running
    const { id, owner, outputSeconds } = batch
    const customIds: string[] = []
    for await (const { customId } of this.#readRequests(batch, new Set())) customIds.push(customId)
    const { answered, failed, counts, usage } = collectResults(
      customIds,
      await store.readResults(id),
      { end, createId: () => createId('batch_req_') },
    )
    const createdAt = Math.floor(now() / 1000)
    const expiresAt = outputSeconds === undefined ? undefined : createdAt + outputSeconds
    const keep = async (
      name: string,
      kept: readonly BatchResult[],
    ): Promise<string | undefined> => {
      if (kept.length === 0) return undefined
      const about = { name, owner, createdAt, expiresAt, purpose: 'batch_output' } as const
      return (await files.add(about, encodeLines(kept))).id
    }
    const outputFileId = await keep(`${id}_output.jsonl`, answered)
    const errorFileId = await keep(`${id}_error.jsonl`, failed)
    await this.#move(running, end, { outputFileId, errorFileId, counts, usage })
    await store.clear(id)
  }
}

const timeNames: Partial<Record<RequestBatch['status'], keyof BatchTimes>> = {
  in_progress: 'inProgress',
  finalizing: 'finalizing',
  completed: 'completed',
  failed: 'failed',
  expired: 'expired',
  cancelling: 'cancelling',
  cancelled: 'cancelled',
}

const countResult = ({ total, completed, failed }: BatchCounts, result: BatchResult) =>
  isAnswered(result)
    ? { total, completed: completed + 1, failed }
    : { total, completed, failed: failed + 1 }

async function* toChunks(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader()
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    yield value
  }
}

// One step after the other: schedule, run pieces of prompts, run one call for each bank of rows,
// choose tokens. The parts of a step are in separate files; this file orders them, and makes sure
// that a failing request does not affect others.

import type { Bank, KvMemory } from './kv/kv-memory.ts'
import { type ServedSequence, toGeneration } from './request.ts'
import { chooseDrafts, takeAhead } from './drafts/look-ahead.ts'
import type { Draft } from './drafts/speculation.ts'
import { runStages } from './run-stages.ts'
import type { Piece, Scheduler } from './scheduler.ts'
import type { StepClock } from './statistics.ts'
import type { CallResult, StepRunner } from './step-runner.ts'
import type { SequenceRows } from './sequence-rows.ts'

export interface StepLoopParts {
  readonly memory: KvMemory
  readonly scheduler: Scheduler<ServedSequence>
  readonly rows: SequenceRows
  readonly runner: StepRunner
  readonly clock: StepClock
  readonly now: () => number
  /** The error with which a task fails that gets no row although it waits alone. */
  readonly createLackError: (task: ServedSequence) => Error
}

export class StepLoop {
  readonly #parts: StepLoopParts
  #last: Promise<void> = Promise.resolve()
  /** Callbacks that end sequences of this step, run after all its calls. */
  #leaving: (() => void)[] = []
  #running: Promise<void> | undefined

  constructor(parts: StepLoopParts) {
    this.#parts = parts
  }

  /** Whether a sequence runs or waits. */
  get hasWork(): boolean {
    const { running, waiting } = this.#parts.scheduler
    return running.length + waiting.length > 0
  }

  /** Throws NotFoundError if the expert was unloaded since it was found. */
  add(task: ServedSequence): void {
    this.#parts.rows.claim(task)
    this.#parts.scheduler.add(task)
  }

  /** Steps until nothing runs or waits; one loop for all callers. */
  run(): Promise<void> {
    // A loop without work would end before it is stored as the running one, and would stay stored
    // forever.
    if (!this.#running && !this.hasWork) return Promise.resolve()
    return (this.#running ??= this.#loop())
  }

  async #loop(): Promise<void> {
    while (this.hasWork) await this.step()
    // Synchronously, so that a sequence that is added from now on starts another loop.
    this.#running = undefined
  }

  /** Runs one step, after the one that is running. Never throws: errors go to their requests. */
  step(): Promise<void> {
    this.#last = this.#last.then(async () => {
      try {
        await this.#step()
        this.#parts.clock.finishStep()
      } catch (error) {
        // The error is not of one call: all running and waiting requests fail with it instead of
        // waiting forever.
        const { running, waiting } = this.#parts.scheduler
        for (const task of [...running, ...waiting]) this.#fail(task, error)
        this.#leave()
      }
    })
    return this.#last
  }

  async #step(): Promise<void> {
    const { scheduler, memory, clock, now } = this.#parts
    clock.count('steps')
    this.#dropCancelled()
    const { pieces, writing, preempted, refused, failed } = await clock.time('schedule', () =>
      scheduler.plan(now()),
    )
    clock.count('preemptions', preempted.length)
    for (const { sequence, error } of failed) this.#fail(sequence, error)
    const read: ServedSequence[] = []
    for (const piece of pieces) read.push(...(await this.#read(piece)))
    this.#leave()
    this.#dropCancelled()
    const drafts = chooseDrafts(scheduler.running)
    for (const bank of memory.banks) await this.#write(bank, drafts)
    this.#leave()
    // Ready only now, because this step has reserved no position for another token of theirs.
    for (const { row } of read) if (row) memory.markReady(row)
    // Nothing runs that could release room, so the first one can never be served.
    const [lacking] = refused
    if (lacking && pieces.length + writing.length + preempted.length === 0)
      this.#fail(lacking, this.#parts.createLackError(lacking))
    this.#leave()
  }

  /**
   * Computes a piece. Returns the sequences that decode from now on: its own and its copies, once
   * the whole prompt is computed.
   */
  async #read({ sequence: task, count }: Piece<ServedSequence>): Promise<ServedSequence[]> {
    this.#dropCancelled()
    if (task.state === 'ended') return []
    const { runner, rows, clock } = this.#parts
    let copies: readonly ServedSequence[] = []
    await this.#attempt([task], async () => {
      const result = await clock.time('read', () => runner.read(task, count))
      task.computed += count
      clock.count('readTokens', count)
      rows.publish(task)
      task.scores?.take(result.prompt)
      if (task.computed < task.tokens.length) return
      task.state = 'writing'
      copies = this.#joinCopies(task)
      await this.#begin([task, ...copies], extendResult(result, task, copies))
    })
    return [task, ...copies].filter(({ state }) => state === 'writing')
  }

  /** Starts the copies of a task whose prompt is computed, as far as there are rows. */
  #joinCopies(task: ServedSequence): readonly ServedSequence[] {
    const { scheduler, rows, now } = this.#parts
    const joined: ServedSequence[] = []
    for (const copy of task.copies?.listFollowers() ?? []) {
      if (!scheduler.canJoin(copy, now()) || !rows.fork(task, copy)) break
      scheduler.join(copy)
      joined.push(copy)
    }
    if (task.copies) task.copies.isRead = true
    return joined
  }

  /** Chooses the first token of each, or ends those that generate none. */
  #begin(tasks: readonly ServedSequence[], result: CallResult): Promise<void> {
    return this.#attempt(tasks, async () => {
      for (const task of tasks) {
        const { scores, times } = task
        if (scores && times.first === 0)
          task.events.push({ type: 'text-delta', text: '', promptLogprobs: scores.tokens })
        if (task.answer.reason !== undefined) this.#finish(task)
      }
      await this.#choose(tasks, result)
    })
  }

  async #write(bank: Bank, drafts: ReadonlyMap<ServedSequence, Draft>): Promise<void> {
    const { runner, scheduler, clock } = this.#parts
    const taskOf = new Map(scheduler.running.map((task) => [task.row, task]))
    const ready = bank.rows.slice(0, bank.readyCount).map((row) => taskOf.get(row)!)
    const tasks = ready.filter((task) => !drafts.has(task))
    for (const task of ready) {
      const draft = drafts.get(task)
      if (draft) await this.#attempt([task], () => this.#lookAhead(task, draft))
    }
    if (tasks.length === 0) return
    await this.#attempt(tasks, async () => {
      const result = await clock.time('write', () => runner.write(bank, tasks))
      for (const task of tasks) task.computed++
      clock.count('writtenTokens', tasks.length)
      await this.#choose(tasks, result)
    })
  }

  /** Verifies a draft: the sequence gets its accepted tokens and one more. */
  async #lookAhead(task: ServedSequence, draft: Draft): Promise<void> {
    const { runner, clock } = this.#parts
    const ahead = await clock.time('write', () => runner.lookAhead(task, draft.tokens))
    const used = await clock.time('choose', () =>
      takeAhead(task, draft, ahead, (one, logits) => this.#take(one, logits)),
    )
    ahead.keep(used)
    task.computed += used
    task.speculation!.settle(draft, used - 1)
    clock.count('writtenTokens', used)
    clock.count('draftedTokens', draft.tokens.length)
    clock.count('acceptedTokens', used - 1)
  }

  /** Runs a call; an error ends the tasks of this call only. */
  async #attempt(tasks: readonly ServedSequence[], call: () => Promise<void>): Promise<void> {
    try {
      await call()
    } catch (error) {
      for (const task of tasks) this.#fail(task, error)
    }
  }

  async #choose(tasks: readonly ServedSequence[], result: CallResult): Promise<void> {
    const { clock } = this.#parts
    await clock.time('choose', async () => {
      const staged = await runStages(result, (task, error) => this.#fail(task, error))
      for (const task of tasks) {
        const logits = result.logits.get(task) ?? staged.get(task)
        if (logits) await this.#take(task, logits) // otherwise its stage failed, or it generates nothing
      }
    })
  }

  /**
   * Chooses the next token and emits it. If that throws, as when a grammar and bans leave no token,
   * only this task ends, and the result is false.
   */
  async #take(task: ServedSequence, logits: Float32Array): Promise<boolean> {
    const { answer, events, times } = task
    try {
      const { grammar } = answer
      if (grammar && !grammar.mask) await grammar.ready()
      const delta = answer.sampleNext(logits)
      if (times.first === 0) times.first = this.#parts.now()
      if (delta) events.push(delta)
    } catch (error) {
      this.#fail(task, error)
      return false
    }
    if (answer.reason !== undefined) this.#finish(task)
    return answer.reason === undefined
  }

  #finish(task: ServedSequence): void {
    const { clock, now } = this.#parts
    task.times.last = now()
    if (task.times.first === 0) task.times.first = task.times.last
    clock.count('finished')
    this.#end(task, () => {
      task.events.push({ type: 'generation-end', ...toGeneration(task) })
      task.events.end()
    })
  }

  #fail(task: ServedSequence, error: unknown): void {
    this.#parts.clock.count('failed')
    this.#end(task, () => task.events.end(error))
  }

  /**
   * Removes a sequence after all calls of the step. Removing a row may move others to another bank,
   * and a row that moved into a bank whose call is still to come would get two tokens.
   */
  #end(task: ServedSequence, tell: () => void): void {
    this.#leaving.push(() => {
      if (task.state === 'ended') return
      this.#drop(task)
      tell()
    })
  }

  #drop(task: ServedSequence): void {
    this.#parts.scheduler.end(task)
    this.#parts.rows.unclaim(task)
    task.answer.grammar?.close()
  }

  #leave(): void {
    for (const end of this.#leaving.splice(0)) end()
  }

  #dropCancelled(): void {
    const { scheduler, clock } = this.#parts
    for (const task of [...scheduler.running, ...scheduler.waiting]) {
      const cancelled = findCancellation(task)
      if (!cancelled) continue
      this.#drop(task)
      clock.count('cancelled')
      task.events.end(cancelled.reason)
    }
  }
}

/**
 * The reason for which a request was cancelled. Polls the signal, because a listener would outlive
 * the request.
 */
const findCancellation = ({
  cancelled,
  settings: { signal },
}: ServedSequence): ServedSequence['cancelled'] =>
  cancelled ?? (signal?.aborted ? { reason: signal.reason } : undefined)

/** The result of a piece, extended to the copies of its task. */
function extendResult(
  { logits, states, prompt }: CallResult,
  task: ServedSequence,
  copies: readonly ServedSequence[],
): CallResult {
  const share = <Value>(values: ReadonlyMap<ServedSequence, Value>) => {
    const value = values.get(task)
    return value === undefined ? values : new Map([task, ...copies].map((one) => [one, value]))
  }
  return { logits: share(logits), states: share(states), prompt }
}

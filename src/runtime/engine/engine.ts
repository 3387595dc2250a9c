// The engine: requests in, answers out, many experts at once. It checks a request and makes its
// task; a loop of steps answers it. Independent of how models are opened.

import type { AdapterMetadata, Expert } from '../../adapters/index.ts'
import { OptionError } from '../../base/errors.ts'
import { readOptions } from '../../base/schema.ts'
import { computeCacheShape } from '../../graph/cache-shape.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import type { Accuracy } from '../../compute/pack-linears.ts'
import type { BaseWeights } from '../programs/base-weights.ts'
import type { ProgramCache } from '../programs/program-cache.ts'
import type { StepPrograms } from '../programs/step/step-programs.ts'
import type { AnswerWriting } from './answer.ts'
import { checkPieceTokens, countBlocks } from './engine-checks.ts'
import { choosePieceTokens, engineFields, type EngineOptions } from './engine-options.ts'
import { computeTenantMark } from './kv/block-keys.ts'
import { createKvMemory, type KvMemory, type KvStatistics } from './kv/kv-memory.ts'
import type { KvElement } from './kv/kv-types.ts'
import { countAlike } from './compose/expert-terms.ts'
import { prepareExpert } from './compose/prepare-expert.ts'
import { type GivenExpert, resolveExpert } from './compose/resolve-expert.ts'
import type { GrammarHost } from '../grammar/grammar-host.ts'
import { planPieces } from './pieces.ts'
import type { AdapterPool, ExpertHandle, PoolStatistics } from './pool/adapter-pool.ts'
import { limitScoredPiece } from './prompt-scores.ts'
import type { GenerateEvent, ServedSequence } from './request.ts'
import { type EngineRequest, RequestIntake } from './request-intake.ts'
import { Scheduler } from './scheduler.ts'
import { StepClock, type StepTotals } from './statistics.ts'
import { StepLoop } from './step-loop.ts'
import { StepRunner } from './step-runner.ts'
import { SequenceRows } from './sequence-rows.ts'

export type { EngineRequest } from './request-intake.ts'

/** What an engine needs of its model. */
export interface EngineParts {
  readonly contextTokens: number
  /** The tokenizer of an expert's answers, and the ids that end them. */
  readonly writing: (expert: Expert | undefined) => AnswerWriting
  readonly config: ModelConfig
  readonly weights: BaseWeights
  readonly steps: StepPrograms
  /** For adapters that no slot can hold. */
  readonly programs: ProgramCache
  readonly pool: AdapterPool
  /** The base model's name. */
  readonly baseName: string
  /** Computes which tokens grammars allow; without it the option grammar is refused. */
  readonly grammars: GrammarHost | undefined
  /** The hash of the base's weights and configuration. */
  readonly identity: () => Promise<string>
  /** The number of values in the model's matrices. */
  readonly parameters: number
  readonly cores: number
  /** Milliseconds. */
  readonly now: () => number
  /**
   * Called at the end of `dispose`; drops the references to the engine, so that its memory is
   * freed.
   */
  readonly onDisposed: () => void
}

/** An answer on its way: events once, in order. */
export interface EngineSequence {
  readonly id: number
  readonly events: AsyncIterable<GenerateEvent>
  /** Tokens that it has written so far. */
  readonly newTokens: number
  /** Ends the sequence before the engine's next call; the events end with the reason. */
  cancel(reason?: unknown): void
}

export interface EngineStatistics extends StepTotals {
  /** Sequences that have a row, and those that wait. */
  readonly running: number
  readonly waiting: number
  readonly pieceTokens: number
  readonly kv: KvStatistics
  readonly experts: PoolStatistics
}

/** Serves one model. One engine's requests share its rows, cached prefixes and resident experts. */
export class Engine {
  readonly #parts: EngineParts
  readonly #pieceTokens: number
  readonly #intake: RequestIntake
  readonly #memory: KvMemory
  readonly #scheduler: Scheduler<ServedSequence>
  readonly #loop: StepLoop
  readonly #clock: StepClock
  readonly #element: KvElement
  #isDisposed = false

  /** Throws OptionError for options that are wrong or leave no room for one sequence. */
  constructor(parts: EngineParts, options: EngineOptions = {}) {
    const settings = readOptions('Engine options', options, engineFields)
    const { config, pool, parameters, cores, now } = parts
    const { maxRows, maxWaitMs } = settings
    const pieceTokens = settings.pieceTokens ?? choosePieceTokens(parameters, cores)
    checkPieceTokens(pieceTokens)
    this.#parts = parts
    this.#pieceTokens = pieceTokens
    const blocks = countBlocks(parts, settings)
    const shape = computeCacheShape(config)
    const { saved, kvElement: element, speculate, promptProducts: products } = settings
    this.#element = element
    const prefixes = { element, products, areSaved: saved !== undefined }
    this.#intake = new RequestIntake({ ...parts, pieceTokens, blocks, prefixes, speculate })
    const kv = { shape, blocks, maxRows, element, ...(saved && { saved }) }
    const memory = createKvMemory(kv)
    const rows = new SequenceRows({ memory, pool, pieceTokens, now })
    const scoredPiece = limitScoredPiece(pieceTokens, config.vocabularySize)
    const nextPiece = (task: ServedSequence): number => {
      const { tokens, computed, scores } = task
      const limit = scores && !scores.isComplete ? scoredPiece : pieceTokens
      const planned = planPieces(tokens.length, computed, limit).pieces[0]!
      // If an expert's weights change within the sequence, pieces may end at any token.
      return Math.min(planned, tokens.length - computed, countAlike(task))
    }
    // The prompt is computed while its grammar compiles, if no other request would wait for that.
    const isHeld = (task: ServedSequence): boolean =>
      (task.copies?.isHeld(task) ?? false) ||
      (isCompiling(task) && this.#scheduler.running.length > 0)
    this.#memory = memory
    this.#clock = new StepClock(now)
    this.#scheduler = new Scheduler<ServedSequence>(
      { maxRows, stepTokens: pieceTokens, maxWaitMs, nextPiece, isHeld },
      rows,
    )
    this.#loop = new StepLoop({
      memory,
      scheduler: this.#scheduler,
      rows,
      runner: new StepRunner({ ...parts, memory, element, products }),
      clock: this.#clock,
      now,
      createLackError: (task) => this.#intake.createLackError(task),
    })
  }

  /**
   * Queues a request. Throws, before anything is queued, OptionError for wrong options or ids,
   * ContextLengthError for a prompt that leaves no room, NotFoundError for an unknown expert,
   * MismatchError for one of another base.
   */
  async add(request: EngineRequest): Promise<EngineSequence> {
    this.#checkOpen()
    const task = await this.#intake.read(request)
    const [sequence] = this.#queue([task])
    return sequence!
  }

  /**
   * Queues `count` answers of one prompt, which is read once; answer i samples with the request's
   * seed + i. Each ends or is cancelled separately. Throws as `add`.
   */
  async addCopies(request: EngineRequest, count: number): Promise<EngineSequence[]> {
    this.#checkOpen()
    return this.#queue(await this.#intake.readCopies(request, count))
  }

  #queue(tasks: readonly ServedSequence[]): EngineSequence[] {
    try {
      for (const { settings } of tasks) settings.signal?.throwIfAborted()
      this.#checkOpen() // once more: it may have been closed while the expert was prepared
      for (const task of tasks) this.#loop.add(task)
    } catch (error) {
      for (const { answer } of tasks) answer.grammar?.close()
      throw error
    }
    return tasks.map((task) => ({
      id: task.id,
      events: task.events,
      get newTokens() {
        return task.answer.ids.length
      },
      cancel(reason: unknown = new OptionError('The request was cancelled.')) {
        task.cancelled ??= { reason }
      },
    }))
  }

  /** Runs one step; the engine's own loop does the same while answers are awaited. */
  step(): Promise<void> {
    return this.#loop.step()
  }

  /** Steps until nothing runs or waits. */
  run(): Promise<void> {
    return this.#loop.run()
  }

  /** Whether a sequence runs or waits. */
  get hasWork(): boolean {
    return this.#loop.hasWork
  }

  /** Queues a request and gives its events while the engine runs. Leaving the loop cancels it. */
  async *generate(request: EngineRequest): AsyncGenerator<GenerateEvent, void> {
    const sequence = await this.add(request)
    void this.run()
    try {
      yield* sequence.events
    } finally {
      sequence.cancel()
    }
  }

  /**
   * Checks an expert, fills its slot and compiles what serves it, so that its first request does
   * not wait. Where every slot is in use it waits for a request to end; throws OptionError if none
   * runs that could.
   */
  async prepare(which: GivenExpert | undefined, accuracy: Accuracy): Promise<void> {
    const { handle, stages } = await resolveExpert(which, this.#parts)
    const { steps, programs } = this.#parts
    const parts = { engine: this, steps, programs, accuracy, past: this.#element }
    for (const one of new Set(stages ? stages.map((stage) => stage.handle) : [handle]))
      await prepareExpert(one, parts)
  }

  /**
   * Makes an expert known under a name. The next request of that name gets it; sequences that run
   * keep the version they began with. `digest`: the root digest of the files that an adapter was
   * read from, which names its content in caches.
   */
  registerAdapter(
    name: string,
    expert: Expert,
    metadata?: AdapterMetadata,
    digest?: string,
  ): Promise<ExpertHandle> {
    this.#parts.steps.expectExperts()
    return this.#parts.pool.register(name, expert, metadata, digest)
  }

  /** Forgets a name; resolves when the last sequence that uses its expert has ended. */
  unloadAdapter(name: string): Promise<void> {
    return this.#parts.pool.unload(name)
  }

  /** Experts by name, their slots, pins and preloading. */
  get experts(): AdapterPool {
    return this.#parts.pool
  }

  /**
   * Forgets the cached prefixes of one tenant, in memory and saved. Running requests keep theirs to
   * their end, and may add them to the cache again.
   */
  async forgetTenant(tenant: string): Promise<void> {
    if (tenant === '')
      throw new OptionError('forgetTenant: the tenant is empty, which means all of them.')
    await this.#memory.forget(computeTenantMark(tenant))
  }

  stats(): EngineStatistics {
    const { running, waiting } = this.#scheduler
    return {
      ...this.#clock.totals,
      running: running.length,
      waiting: waiting.length,
      pieceTokens: this.#pieceTokens,
      kv: this.#memory.statistics,
      experts: this.#parts.pool.statistics,
    }
  }

  /** Cancels what runs and waits; resolves when nothing runs. */
  async dispose(): Promise<void> {
    this.#isDisposed = true
    const reason = new OptionError('The engine was closed.')
    for (const task of [...this.#scheduler.running, ...this.#scheduler.waiting])
      task.cancelled ??= { reason }
    await this.run()
    this.#parts.onDisposed()
  }

  #checkOpen(): void {
    if (this.#isDisposed) throw new OptionError('The engine was closed.')
  }
}

/** Whether the grammar of an answer that has not begun is still being compiled. */
const isCompiling = ({ answer: { grammar, ids } }: ServedSequence): boolean =>
  grammar !== undefined && !grammar.mask && ids.length === 0

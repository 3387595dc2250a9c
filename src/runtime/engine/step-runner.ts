// Runs the calls of a step: a piece of one prompt, or one token of each row of a bank. Independent
// of queues and of the choice of tokens.

import { i64, type Tensor } from '../../base/tensor.ts'
import { LOGIT_ROWS, STATES } from '../programs/cached-graph.ts'
import { collectCallFeeds } from '../programs/call-feeds.ts'
import type { ProgramCache } from '../programs/program-cache.ts'
import { collectDecodeFeeds, collectPrefillFeeds } from '../programs/step/step-feeds.ts'
import type { StepFeedParts, StepSpan } from '../programs/step/step-feeds.ts'
import type { PromptProducts } from '../programs/step/step-graph.ts'
import type { StepPrograms } from '../programs/step/step-programs.ts'
import { type CallKind, ExpertFeeds } from './compose/expert-feeds.ts'
import { isBlended, isVirtual } from './compose/expert-terms.ts'
import type { Bank, KvMemory } from './kv/kv-memory.ts'
import type { KvElement } from './kv/kv-types.ts'
import type { AdapterPool } from './pool/adapter-pool.ts'
import type { ServedSequence } from './request.ts'
import { getTapLayer } from './sequence-rows.ts'

export interface StepRunnerParts extends StepFeedParts {
  readonly steps: StepPrograms
  /** For adapters that no slot can hold. */
  readonly programs: ProgramCache
  readonly memory: KvMemory
  /** How `memory` keeps keys and values. */
  readonly element: KvElement
  /** How linear layers multiply in prefill. */
  readonly products: PromptProducts
  readonly pool: AdapterPool
  /** Milliseconds. */
  readonly now: () => number
}

/** What a call computed for the tokens whose results are needed. */
export interface CallResult {
  /** Logits [V] of tasks that use the built-in head. */
  readonly logits: ReadonlyMap<ServedSequence, Float32Array>
  /** For tasks with a stage: the hidden state [D], and the state at the tapped layer [D]. */
  readonly states: ReadonlyMap<ServedSequence, LookedStates>
  /** For a piece of a scored prompt: logits [V] of the tokens that its scores need. */
  readonly prompt: readonly Float32Array[]
}

/** What a call computed for a task's last token and for its draft, in order. */
export interface AheadResult {
  /** Of the built-in head, [V] each. */
  readonly logits: readonly Float32Array[]
  /** For a stage: hidden states and those at its layer, [D] each. */
  readonly states: readonly LookedStates[]
  /** Keeps the first `count` of these tokens; the others were rejected. */
  keep(count: number): void
}

export interface LookedStates {
  readonly hidden: Float32Array
  readonly tap: Float32Array | undefined
}

/** New tokens of rows that are adjacent in a bank. */
interface Call {
  readonly bank: Bank
  /** The bank's index of the first task's row. */
  readonly from: number
  readonly tasks: readonly ServedSequence[]
  readonly pieces: readonly (readonly number[])[]
  /** Tokens of the only piece whose logits score the prompt. */
  readonly scored: readonly number[]
  /** Tasks whose last token needs logits or a hidden state; those with logits first. */
  readonly looked: readonly ServedSequence[]
  /** How many of them need logits. */
  readonly plain: number
  /** Scored tokens need hidden states and no logits. */
  readonly isHeadless?: boolean
}

export class StepRunner {
  readonly #parts: StepRunnerParts
  readonly #experts: ExpertFeeds

  constructor(parts: StepRunnerParts) {
    this.#parts = parts
    this.#experts = new ExpertFeeds(parts.pool)
  }

  /** Computes the next `count` tokens of a task; returns a result if they are its last ones. */
  read(task: ServedSequence, count: number): Promise<CallResult> {
    const { bank, index: from } = task.row!
    const end = task.computed + count
    const writes = end === task.tokens.length && task.answer.reason === undefined
    const pieces = [task.tokens.slice(task.computed, end)]
    const { scores, virtualTokens, computed } = task
    const wanted = scores?.listWanted(computed - virtualTokens, end - virtualTokens) ?? []
    const scored = wanted.map((token) => token + virtualTokens - computed)
    const call = { bank, from, tasks: [task], pieces, scored }
    // Several experts need grouped rows, which only the decode program supports.
    const kind = isBlended(task) ? 'decode' : 'prefill'
    const products = kind === 'prefill' ? this.#parts.products : 'same'
    return this.#run(createCall(call, writes ? [task] : []), kind, products)
  }

  /**
   * Computes the last token of each task; their rows are adjacent in the bank, ordered by index.
   */
  write(bank: Bank, tasks: readonly ServedSequence[]): Promise<CallResult> {
    const from = tasks[0]!.row!.index
    const pieces = tasks.map(({ tokens }) => tokens.slice(-1))
    return this.#run(createCall({ bank, from, tasks, pieces, scored: [] }, tasks), 'decode')
  }

  /**
   * Computes a task's last token and its draft with the prefill program, whose results differ in
   * their last bits from those of `write`.
   */
  async lookAhead(task: ServedSequence, drafted: readonly number[]): Promise<AheadResult> {
    const { bank, index: from } = task.row!
    const piece = [task.tokens.at(-1)!, ...drafted]
    const tasks = [task]
    const scored = [...piece.keys()]
    const isHeadless = task.settings.stage !== undefined
    const rows = { bank, from, tasks, pieces: [piece], scored, isHeadless }
    const outputs = await this.#runStep(createCall(rows, []), 'prefill')
    return {
      ...readAhead(scored, isHeadless, outputs),
      keep: (count) => {
        this.#parts.memory.append([task.row!], outputs, [count])
        reportStates({ tasks, pieces: [piece.slice(0, count)] }, outputs.get(STATES))
      },
    }
  }

  async #run(call: Call, kind: CallKind, products: PromptProducts = 'same'): Promise<CallResult> {
    const { tasks, pieces } = call
    const outputs = needsAttached(tasks[0]!, pieces[0]!)
      ? await this.#runAttached(call)
      : await this.#runStep(call, kind, products)
    this.#parts.memory.append(
      tasks.map(({ row }) => row!),
      outputs,
      pieces.map(({ length }) => length),
    )
    reportStates(call, outputs.get(STATES))
    return readResult(call, outputs)
  }

  async #runStep(
    call: Call,
    kind: CallKind,
    products: PromptProducts = 'same',
  ): Promise<Map<string, Tensor>> {
    const { bank, from, tasks, pieces } = call
    const { steps, element: past } = this.#parts
    const { needs, feeds } = this.#experts.collect(kind, tasks, pieces[0]!.length)
    const { exact } = tasks[0]!.settings
    const compiled = steps[kind]({
      ...needs,
      accuracy: exact ? 'exact' : 'fast',
      products: exact ? 'same' : products,
      states: getTapLayer(tasks[0]!),
      past,
    })
    const program = await this.#waitFor(compiled, tasks)
    const span = createSpan(call)
    const own = await (kind === 'decode'
      ? collectDecodeFeeds(this.#parts, span)
      : collectPrefillFeeds(this.#parts, span))
    return program.run(new Map([...own, ...bank.feeds(from, tasks.length), ...feeds]))
  }

  /**
   * Waits for a program; its compilation does not count as the tasks' time of prefill or decoding.
   */
  async #waitFor<Kind>(compiled: Promise<Kind>, tasks: readonly ServedSequence[]): Promise<Kind> {
    const { now } = this.#parts
    const asked = now()
    const program = await compiled
    const waited = now() - asked
    for (const { times } of tasks) {
      times.started += waited
      if (times.first > 0) times.first += waited
    }
    return program
  }

  /** All rows have the same adapter. */
  async #runAttached(call: Call): Promise<Map<string, Tensor>> {
    const { bank, from, tasks, pieces } = call
    const { programs, element } = this.#parts
    const { lease, settings } = tasks[0]!
    const adapter = lease!.attached!
    const tap = getTapLayer(tasks[0]!)
    const accuracy = settings.exact ? 'exact' : 'fast'
    const program = await this.#waitFor(programs.get(adapter, accuracy, tap, element), tasks)
    const { lengths, capacity, sequenceLengths, picks, logits } = createSpan(call)
    const starts = lease!.handle.invocation && tasks.map(({ activeFrom }) => activeFrom)
    const feeds = new Map<string, Tensor>([
      ...bank.feeds(from, tasks.length),
      ...(await collectCallFeeds(this.#parts, {
        pieces,
        lengths,
        capacity,
        starts,
        sequenceLengths,
      })),
      ['rows', i64([picks.length], picks)],
      [LOGIT_ROWS, i64([logits], [...picks.keys()].slice(0, logits))],
    ])
    return program.run(feeds, adapter)
  }
}

/** After its virtual tokens, a virtual adapter equals the base. */
const needsAttached = (task: ServedSequence, piece: readonly number[]): boolean =>
  isVirtual(task) ? piece.some((id) => id < 0) : task.lease?.attached !== undefined

function createCall(rows: Omit<Call, 'looked' | 'plain'>, looked: readonly ServedSequence[]): Call {
  const plain = looked.filter(({ settings }) => !settings.stage)
  const staged = looked.filter(({ settings }) => settings.stage)
  return { ...rows, looked: [...plain, ...staged], plain: plain.length }
}

/**
 * The positions of the call's tokens, and which ones get logits: at least one, because the head
 * needs one.
 */
function createSpan({ bank, tasks, pieces, scored, looked, plain, isHeadless }: Call) {
  const width = pieces[0]!.length
  const last = looked.map((task) => (tasks.indexOf(task) + 1) * width - 1)
  const places = [...scored, ...last]
  return {
    ids: pieces,
    lengths: tasks.map(({ row }) => row!.length),
    capacity: bank.capacity,
    sequenceLengths: tasks.map(({ tokens }) => tokens.length),
    picks: places.length === 0 ? [0] : places,
    logits: (isHeadless ? 0 : scored.length) + plain,
  } satisfies StepSpan
}

const sliceRow = ({ data, shape }: Tensor, row: number): Float32Array => {
  const width = shape.at(-1)!
  return (data as Float32Array).subarray(row * width, (row + 1) * width)
}

function readResult(
  { tasks, pieces, scored, looked, plain }: Call,
  outputs: ReadonlyMap<string, Tensor>,
): CallResult {
  const all = outputs.get('logits')!
  const prompt = scored.map((_, i) => sliceRow(all, i))
  const logits = new Map(
    looked.slice(0, plain).map((task, i) => [task, sliceRow(all, scored.length + i)]),
  )
  const taps = outputs.get(STATES)
  const states = new Map(
    looked.slice(plain).map((task, i) => {
      const place = (tasks.indexOf(task) + 1) * pieces[0]!.length - 1
      const hidden = sliceRow(outputs.get('hidden')!, scored.length + plain + i)
      return [task, { hidden, tap: taps && sliceRow(taps, place) }]
    }),
  )
  return { logits, states, prompt }
}

function readAhead(
  places: readonly number[],
  isHeadless: boolean,
  outputs: ReadonlyMap<string, Tensor>,
): Pick<AheadResult, 'logits' | 'states'> {
  if (!isHeadless)
    return { logits: places.map((i) => sliceRow(outputs.get('logits')!, i)), states: [] }
  const taps = outputs.get(STATES)
  const states = places.map((i) => ({
    hidden: sliceRow(outputs.get('hidden')!, i),
    tap: taps && sliceRow(taps, i),
  }))
  return { logits: [], states }
}

/** Passes each task's own part of the states [N, T, D] to its tap. */
function reportStates(
  { tasks, pieces }: Pick<Call, 'tasks' | 'pieces'>,
  states: Tensor | undefined,
): void {
  if (!states) return
  const [, tokens, width] = states.shape as [number, number, number]
  tasks.forEach(({ settings }, n) => {
    const start = n * tokens * width
    settings.states?.take(
      0,
      (states.data as Float32Array).subarray(start, start + pieces[n]!.length * width),
    )
  })
}

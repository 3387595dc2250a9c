// The plain helper: a model in a worker with experts that are taught, chosen, judged and corrected,
// as one state to show and calls that change it. `useGraft()` of ../react is a hook over it.

import type { Point } from '../shared/curve.ts'
import { type Graft, openGraft } from './client.ts'
import type { Files, ModelSource, Rows, TeachProgress, TeachRequest } from './protocol.ts'
import {
  type GraftState,
  type GraftStoreOptions,
  type ShownAnswer,
  type ShownTurn,
} from './state.ts'
import { Tasks } from './tasks.ts'

/** The values of a training's steps as points of a curve. */
export const toPoints = (
  progress: readonly TeachProgress[],
): { readonly points: readonly Point[]; readonly held: readonly Point[] } => ({
  points: progress
    .filter(({ heldLoss }) => heldLoss === undefined)
    .map(({ step, loss }) => ({ at: step, value: loss })),
  held: progress.flatMap(({ step, heldLoss }) =>
    heldLoss === undefined ? [] : [{ at: step, value: heldLoss }],
  ),
})

export class GraftStore {
  readonly #graft: Graft = openGraft()
  readonly #tasks = new Tasks()
  readonly #options: GraftStoreOptions
  #lastId = 0

  constructor(options: GraftStoreOptions) {
    this.#options = options
  }

  getState(): GraftState {
    return this.#tasks.state
  }

  /** Calls back at every change; returns how to end that. */
  subscribe(listener: () => void): () => void {
    return this.#tasks.subscribe(listener)
  }

  /** Opens the base model, or another one; if that fails, an open one stays. */
  async open(source: ModelSource = this.#options.source): Promise<void> {
    await this.#tasks.attempt(async () => {
      const { model: before } = this.#tasks.state
      this.#tasks.change({ phase: 'opening', share: 0 })
      const onEvent = (share: number): void => this.#tasks.change({ share })
      try {
        const model = await this.#graft.call('open', { source }, { onEvent })
        this.#tasks.change({ phase: 'ready', model, turns: [], notice: `${model.name} is open.` })
      } catch (error) {
        this.#tasks.change({ phase: before ? 'ready' : 'closed' })
        throw error
      }
      await this.#refreshExperts()
    })
  }

  /** Asks the chosen expert, and the base too if wanted. */
  async ask(prompt: string): Promise<void> {
    await this.#tasks.run('answering', async (signal) => {
      const id = ++this.#lastId
      const { turns, expert } = this.#tasks.state
      this.#tasks.change({ turns: [...turns, { id, prompt, expert }] })
      if (this.#options.sideBySide) await this.#answer(id, 'base', signal)
      await this.#answer(id, 'answer', signal)
    })
  }

  async judge({ id, expert, answer }: ShownTurn, isGood: boolean): Promise<void> {
    const turn = answer?.turn
    if (turn === undefined) return
    await this.#tasks.attempt(async () => {
      await this.#graft.call('judge', { expert, turn, isGood })
      const judgement = isGood ? 'good' : 'bad'
      this.#tasks.changeTurn(id, { answer: Object.assign({}, answer, { judgement }) })
      this.#tasks.change({ notice: 'Learned from your thumb.' })
    })
  }

  async correct({ id, expert, answer }: ShownTurn, completion: string): Promise<void> {
    const turn = answer?.turn
    if (turn === undefined) return
    await this.#tasks.attempt(async () => {
      await this.#graft.call('correct', { expert, turn, completion })
      this.#tasks.changeTurn(id, { answer: Object.assign({}, answer, { judgement: 'corrected' }) })
      this.#tasks.change({ notice: 'Learned your correction.' })
    })
  }

  /** What is understood of rows; they are not taught yet. */
  async check(rows: Rows, maxTokens = 256): Promise<void> {
    this.#tasks.change({ check: undefined })
    await this.#tasks.attempt(async () => {
      const check = await this.#graft.call('check', { rows, maxTokens })
      this.#tasks.change({ check, notice: `${check.file}: ${check.learnedRows} rows to learn.` })
    })
  }

  async teach(request: TeachRequest): Promise<void> {
    await this.#tasks.run('teaching', async (signal) => {
      this.#tasks.change({ progress: [] })
      const onEvent = (one: TeachProgress): void =>
        this.#tasks.change({ progress: [...this.#tasks.state.progress, one] })
      try {
        const { name, reason, steps } = await this.#graft.call('teach', request, {
          onEvent,
          signal,
        })
        this.#tasks.change(
          reason === 'stopped'
            ? { notice: `${name} stopped after step ${steps}; it can go on.` }
            : { expert: name, notice: `${name} is taught and kept in this browser.` },
        )
      } finally {
        await this.#refreshExperts()
      }
    })
  }

  /** Ends an answer or a training; a training can resume later. */
  stop(): void {
    this.#tasks.stop()
  }

  choose(expert: string): void {
    this.#tasks.change({ expert })
  }

  async add(name: string, files: readonly File[]): Promise<void> {
    await this.#tasks.attempt(async () => {
      await this.#graft.call('addExpert', { name, files })
      this.#tasks.change({ expert: name, notice: `${name} is kept in this browser.` })
      await this.#refreshExperts()
    })
  }

  async remove(name: string): Promise<void> {
    await this.#tasks.attempt(async () => {
      await this.#graft.call('removeExpert', { name })
      this.#tasks.change({ notice: `${name} is removed.` })
      await this.#refreshExperts()
    })
  }

  /** Forgets what thumbs and corrections taught on top of an expert. */
  async forget(expert: string): Promise<void> {
    await this.#tasks.attempt(async () => {
      await this.#graft.call('forget', { expert })
      this.#tasks.change({ notice: 'What thumbs and corrections taught is forgotten.' })
    })
  }

  exportFiles(name: string): Promise<Files | undefined> {
    return this.#tasks.attempt(() => this.#graft.call('exportExpert', { name }))
  }

  close(): void {
    this.#graft.close()
  }

  async #refreshExperts(): Promise<void> {
    const experts = await this.#graft.call('experts', undefined)
    const { expert } = this.#tasks.state
    const isThere = experts.some(({ name, state }) => name === expert && state === 'ready')
    this.#tasks.change(isThere ? { experts } : { experts, expert: '' })
  }

  /** Writes one side of a turn; where it is stopped, what there is stays. */
  async #answer(id: number, side: 'base' | 'answer', signal: AbortSignal): Promise<void> {
    const { prompt, expert: own } = this.#tasks.state.turns.find((turn) => turn.id === id)!
    const { maxTokens = 64 } = this.#options
    const expert = side === 'base' ? undefined : own
    const show = (answer: ShownAnswer): void => this.#tasks.changeTurn(id, { [side]: answer })
    let text = ''
    const onEvent = (piece: string): void => {
      text += piece
      show({ text, isWhole: false })
    }
    show({ text, isWhole: false })
    try {
      const result = await this.#graft.call(
        'answer',
        { prompt, expert, maxTokens },
        { onEvent, signal },
      )
      const shown = { text: result.text, isWhole: true }
      const tokensPerSecond = result.tokens / result.seconds
      const turn = result.turn !== undefined && { turn: result.turn }
      show(Object.assign(shown, { tokensPerSecond }, turn))
    } catch (error) {
      show({ text, isWhole: true })
      throw error
    }
  }
}

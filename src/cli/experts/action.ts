// The contract of an action of graft experts: its name, its arguments, its function.

import type { LocalRegistry } from '../../node/registry/local-registry.ts'
import type { Terminal } from '../ui/terminal.ts'

export interface ExpertsValues {
  readonly registry: string | undefined
  readonly name: string | undefined
  readonly version: string | undefined
  readonly channel: readonly string[] | undefined
  readonly tag: readonly string[] | undefined
  readonly untag: readonly string[] | undefined
  readonly domain: string | undefined
  readonly base: string | undefined
  readonly score: string | undefined
  readonly meaning: boolean | undefined
  readonly model: string | undefined
  readonly key: readonly string[] | undefined
  readonly from: string | undefined
  readonly 'max-bytes': number | undefined
  readonly 'allow-private': boolean | undefined
  readonly write: boolean | undefined
  readonly undo: boolean | undefined
  readonly share: number | undefined
  readonly votes: number | undefined
  readonly canaries: string | undefined
  readonly force: boolean | undefined
  readonly all: boolean | undefined
  readonly lora: boolean | undefined
  readonly out: string | undefined
  readonly data: string | undefined
  readonly seed: number | undefined
  readonly steps: number | undefined
  readonly rows: number | undefined
  readonly threads: number | undefined
}

export interface ActionContext {
  readonly registry: LocalRegistry
  readonly values: ExpertsValues
  readonly terminal: Terminal
  readonly signal: AbortSignal
}

export interface Action {
  /** What is typed behind its name. */
  readonly usage: string
  readonly about: string
  /** Words behind the name: least and most. */
  readonly words: readonly [number, number]
  /** Options that mean something here, besides --registry. */
  readonly options: readonly (keyof ExpertsValues)[]
  run(words: readonly string[], context: ActionContext): Promise<unknown>
}

export type Actions = Readonly<Record<string, Action>>

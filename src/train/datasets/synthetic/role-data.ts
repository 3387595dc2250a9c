// The contract of a role's synthetic data: one file per role, one row in role-data-table.ts, and
// the contract suite runs it. Independent of model: topics define the centres of vectors, tasks
// generate questions whose answers are known by construction.

import type { Random } from '../../../base/random.ts'

/** A topic of a role's vectors, and the quality of its examples. */
export interface Topic {
  readonly name: string
  /** Qualities are drawn evenly between these. */
  readonly quality: readonly [least: number, most: number]
}

/** What a checker needs to judge an answer; saved with the row. */
export type TaskFacts = Readonly<Record<string, unknown>>

export interface GeneratedTask {
  readonly prompt: string
  /** A right answer, as short as it can be. */
  readonly completion: string
  readonly facts: TaskFacts
}

export interface TaskGenerator {
  /** 'loop' */
  readonly name: string
  generate(random: Random): GeneratedTask
  /** Whether any answer, not only the completion, is right. */
  check(facts: TaskFacts, answer: string): boolean
}

export interface RoleData {
  /** 'coder': the name of a row of adapters/roles.ts. */
  readonly name: string
  readonly domain: string
  readonly topics: readonly Topic[]
  readonly tasks: readonly TaskGenerator[]
}

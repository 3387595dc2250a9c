// Options of a pool of users: one row each. Independent of the pool.

import { createField, type Field, integer, number, oneOf, unchecked } from '../../base/schema.ts'
import type { RefusedCheckpoint } from './checkpoint-info.ts'
import type { UserCheckpoints } from './checkpoints.ts'
import { stateForms, type StateForm } from './state-image.ts'
import type { StateShapes, UserState } from './user-state.ts'

export interface PoolProblem {
  readonly user: string
  /** Why the user could not be written; the user stays in memory. */
  readonly error?: unknown
  /** Checkpoints that could not be used; an older one is used instead. */
  readonly refused?: readonly RefusedCheckpoint[]
}

const isFunction = (value: unknown): boolean => typeof value === 'function'
const createCallbackField = <Value>(): Field<Value> =>
  createField<Value>('a function', {}, isFunction)

/** The rows that do not depend on a pool's contents. */
export const poolFields = {
  limitBytes: number({ from: 0, to: Infinity }),
  now: createCallbackField<() => number>(),
  hotForm: oneOf(stateForms, { default: 'f32' }),
  coldForm: oneOf(stateForms, { default: 'int8' }),
  keepCold: integer({ from: 1, default: 2 }),
  onProblem: createCallbackField<(problem: PoolProblem) => void>(),
}

export interface UserPoolOptions<Loaded> {
  readonly checkpoints: UserCheckpoints
  /** An object in memory from a user's state, or a new one for a user without a state. */
  readonly load: (user: string, state: UserState | undefined) => Loaded
  /** The current state of an object in memory. Its tensors are copied at once. */
  readonly stateOf: (loaded: Loaded) => UserState
  /**
   * Bytes of an object in memory. Default: those of its state. For objects whose state is costly to
   * create.
   */
  readonly sizeOf?: (loaded: Loaded) => number
  /**
   * Whether the store's earlier checkpoints of this object must go when it is written, because they
   * hold what has to be forgotten. Default: never.
   */
  readonly needsRewrite?: (loaded: Loaded) => boolean
  /**
   * Bytes of memory for all users. Users in use count too, but are never evicted, even where they
   * alone take more.
   */
  readonly limitBytes: number
  /** Milliseconds since 1970, for the checkpoints. */
  readonly now: () => number
  /** Shapes that a stored state must have. */
  readonly shapes?: StateShapes
  /** How a user in memory is saved. Default 'f32'. */
  readonly hotForm?: StateForm
  /** How a user is saved on eviction. Default 'int8'. */
  readonly coldForm?: StateForm
  /** Checkpoints that an evicted user keeps. Default 2, so that a torn one has one before it. */
  readonly keepCold?: number
  /**
   * Receives problems that cannot be reported to a caller: a user not evicted, checkpoints refused.
   */
  readonly onProblem?: (problem: PoolProblem) => void
}

export const userPoolFields = {
  ...poolFields,
  checkpoints: unchecked<UserCheckpoints>('UserCheckpoints'),
  load: createCallbackField(),
  stateOf: createCallbackField(),
  sizeOf: createCallbackField(),
  needsRewrite: createCallbackField(),
  shapes: unchecked<StateShapes>('a Map of shapes'),
} satisfies Record<keyof UserPoolOptions<unknown>, Field>

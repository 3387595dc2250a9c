// Conflicts of two processes that write the same user: reported once, however many writes fail, and
// resolved by loading the other's state and learning the own unsaved turns again on top of it.

import { ConflictError } from '../../base/errors.ts'
import type { PoolProblem } from '../store/user-pool-options.ts'
import { dropStates } from '../turns/turn.ts'
import type { LearnerUser } from './user.ts'

export class WriteConflicts {
  readonly #report: (problem: PoolProblem) => void
  readonly #resolve: (user: string) => Promise<void>
  readonly #resolving = new Map<string, Promise<void>>()

  constructor(report: (problem: PoolProblem) => void, resolve: (user: string) => Promise<void>) {
    this.#report = report
    this.#resolve = resolve
  }

  /**
   * Reports a problem. The promise of a conflict resolves when it is resolved or has failed to be.
   */
  async handle(problem: PoolProblem): Promise<void> {
    const { user } = problem
    const known = this.#resolving.get(user)
    if (!(problem.error instanceof ConflictError)) this.#report(problem)
    else await (known ?? this.#startResolving(problem))
  }

  #startResolving(problem: PoolProblem): Promise<void> {
    const { user } = problem
    this.#report(problem)
    const resolved = this.#resolve(user)
      .catch((error: unknown) => this.#report({ user, error }))
      .finally(() => this.#resolving.delete(user))
    this.#resolving.set(user, resolved)
    return resolved
  }
}

/** Adds this process's answers that can still be rated, because callers know their numbers. */
export function copyTurns(ours: LearnerUser, target: LearnerUser): void {
  for (const [number, turn] of ours.turns) target.turns.set(number, dropStates(turn))
  target.count = Math.max(target.count, ours.count)
}

// The contract of what the soak does: one action, how often it is chosen, and how it is done.

import type { SoakClient } from './client.ts'

export interface SoakAction {
  readonly name: string
  /** How often it is chosen, beside the other actions. */
  readonly weight: number
  /** Notes at the client what is wrong. */
  run(client: SoakClient): Promise<void>
}

/** Chooses among actions by weight. */
export function chooseAction(client: SoakClient, actions: readonly SoakAction[]): SoakAction {
  const total = actions.reduce((sum, { weight }) => sum + weight, 0)
  let left = client.random.uniform() * total
  return actions.find(({ weight }) => (left -= weight) < 0) ?? actions[0]!
}

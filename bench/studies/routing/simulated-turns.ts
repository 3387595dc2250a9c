// Simulated users for routing: sessions that ask one expert after another, a pool with room for a
// few of them, and the reward of an answer. Independent of routers.

import { random } from '../../../src/base/random.ts'
import type { TaskGenerator } from '../../../src/train/datasets/synthetic/role-data.ts'
import { roleDataTable } from '../../../src/train/datasets/synthetic/role-data-table.ts'

/** The tasks of all roles, each with its own expert: 'coder/loop'. */
export const simulatedExperts: readonly string[] = [...roleDataTable.values()].flatMap(
  ({ name, tasks }) => tasks.map((task) => `${name}/${task.name}`),
)

export interface SimulatedTurn {
  readonly session: string
  readonly text: string
  /** The expert that answers it best. */
  readonly right: string
  /** Uniform in [0, 1): the answer is good where its expert's quality is above. */
  readonly luck: number
}

/** How often a session continues with the expert that usually follows. */
const habit = 0.6

/** The same seed, the same turns. */
export function drawTurns(count: number, seed: number, sessions = 8): SimulatedTurn[] {
  const draw = random(seed)
  const follower = new Map<string, string>(
    draw.shuffle(simulatedExperts).map((name, i, all) => [name, all[(i + 1) % all.length]!]),
  )
  const last = new Map<string, string>()
  const tasks = new Map<string, TaskGenerator>(
    [...roleDataTable.values()].flatMap((role) =>
      role.tasks.map((task) => [`${role.name}/${task.name}`, task] as const),
    ),
  )
  return Array.from({ length: count }, () => {
    const session = `session-${draw.integer(sessions)}`
    const before = last.get(session)
    const usual = before !== undefined && draw.uniform() < habit
    const right = usual
      ? follower.get(before)!
      : simulatedExperts[draw.integer(simulatedExperts.length)]!
    last.set(session, right)
    const { prompt } = tasks.get(right)!.generate(draw)
    return { session, text: prompt, right, luck: draw.uniform() }
  })
}

/** How often an expert's answer is good: the right one, another of its role, any other. */
export function getQuality(expert: string | undefined, right: string): number {
  if (expert === right) return 0.9
  return expert !== undefined && expert.split('/')[0] === right.split('/')[0] ? 0.5 : 0.15
}

/** Experts in memory; the one that has waited longest leaves first. */
export class SimulatedPool {
  readonly #slots: number
  readonly #names: string[] = []
  loads = 0

  constructor(slots: number) {
    this.#slots = slots
  }

  get resident(): readonly string[] {
    return this.#names
  }

  /** Whether it had to be loaded. */
  enter(name: string): boolean {
    const at = this.#names.indexOf(name)
    if (at >= 0) this.#names.splice(at, 1)
    this.#names.push(name)
    if (this.#names.length > this.#slots) this.#names.shift()
    if (at < 0) this.loads++
    return at < 0
  }
}

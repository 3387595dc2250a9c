// Maps a response to the user's turn: in memory for the newest responses, and stored with each user
// for a restart.

import type { UserStore } from '../../learn/store/user-store.ts'
import { isRecord } from '../../base/schema.ts'

/** One answer of a response. */
export interface ResponseTurn {
  readonly responseId: string
  readonly index: number
  readonly user: string
  /** The expert of the turn (`computeScope`). */
  readonly scope: string
  readonly turn: number
}

const mostResponses = 10_000
const keptWithUser = 64
const itemName = 'responses'

export class ResponseTurns {
  readonly #store: UserStore
  readonly #turns = new Map<string, ResponseTurn>()
  /** Users in the store, by scope and name, whose responses changed since they were saved. */
  readonly #changed = new Set<string>()

  /** `store` has the users of all scopes. */
  constructor(store: UserStore) {
    this.#store = store
  }

  add(turn: ResponseTurn): void {
    this.#turns.set(toKey(turn.responseId, turn.index), turn)
    this.#changed.add(turn.scope + turn.user)
    if (this.#turns.size > mostResponses) this.#turns.delete(this.#turns.keys().next().value!)
  }

  /** `names`: also searches the saved responses of these users. */
  async find(
    responseId: string,
    index: number,
    names: readonly string[],
  ): Promise<ResponseTurn | undefined> {
    const key = toKey(responseId, index)
    const known = this.#turns.get(key)
    if (known) return known
    for (const name of names)
      for (const turn of await this.#load(name))
        if (toKey(turn.responseId, turn.index) === key) return turn
    return undefined
  }

  /** Forgets a user's responses; if turns are given, only those of these turns. */
  remove(user: string, scope?: string, turns?: readonly number[]): string[] {
    const removed: string[] = []
    for (const [key, found] of this.#turns) {
      if (found.user !== user || (scope !== undefined && found.scope !== scope)) continue
      if (turns && !turns.includes(found.turn)) continue
      this.#turns.delete(key)
      this.#changed.add(found.scope + user)
      removed.push(found.responseId)
    }
    return removed
  }

  /** Writes the changes, with each user. */
  async save(): Promise<void> {
    const byName = Map.groupBy(this.#turns.values(), ({ scope, user }) => scope + user)
    for (const name of this.#changed) {
      const turns = (byName.get(name) ?? []).slice(-keptWithUser)
      if (turns.length === 0) await this.#store.delete(name, itemName)
      else await this.#store.put(name, itemName, new TextEncoder().encode(JSON.stringify(turns)))
    }
    this.#changed.clear()
  }

  async #load(name: string): Promise<readonly ResponseTurn[]> {
    const item = await this.#store.get(name, itemName)
    if (!item) return []
    const value: unknown = JSON.parse(new TextDecoder().decode(item.bytes))
    return Array.isArray(value) ? value.filter(isResponseTurn) : []
  }
}

const toKey = (responseId: string, index: number): string => `${responseId}\n${index}`

const isResponseTurn = (value: unknown): value is ResponseTurn =>
  isRecord(value) && typeof value['responseId'] === 'string' && typeof value['turn'] === 'number'

// Predicts the next expert of a session from its earlier ones: a Markov chain over experts of order
// 2, which falls back on order 1 and then on each expert's overall frequency. Independent of pools
// and of what is loaded.

import { FormatError } from '../../base/errors.ts'
import { describeValue, isRecord } from '../../base/schema.ts'
import type { ExpertScore } from '../router.ts'

/** Sessions whose last experts are kept; the one that has waited longest goes first. */
const mostSessions = 10_000
/** Contexts that are counted: with 100 experts all of order 1 and those of order 2 that occur. */
const mostContexts = 20_000
/** How many times a context must be seen to count as much as the shorter one. */
const backOff = 2
/** The base in histories. */
const baseName = ''

type Counts = Map<string, number>

/** Written as one string, so that it is a key. */
const toKey = (history: readonly string[]): string => JSON.stringify(history)

export class NextExperts {
  /** Histories of 0, 1 or 2 experts, the older first → how often each expert came next. */
  readonly #counts = new Map<string, Counts>()
  readonly #sessions = new Map<string, readonly string[]>()

  /** A session asked for an expert; undefined: for the base. */
  note(session: string, expert: string | undefined): void {
    const history = this.#sessions.get(session) ?? []
    const name = expert ?? baseName
    for (let order = 0; order <= history.length; order++)
      this.#count(toKey(history.slice(history.length - order)), name)
    this.#sessions.delete(session)
    this.#sessions.set(session, [...history, name].slice(-2))
    if (this.#sessions.size > mostSessions)
      this.#sessions.delete(this.#sessions.keys().next().value!)
  }

  /**
   * Probability of each expert to be the next one of a session, the most likely first; the base is
   * left out. An unknown session counts as one that has just begun.
   */
  predict(session: string, most = Infinity): ExpertScore[] {
    const history = this.#sessions.get(session) ?? []
    let shares = new Map<string, number>()
    for (let order = 0; order <= history.length; order++) {
      const counts = this.#counts.get(toKey(history.slice(history.length - order)))
      if (counts) shares = blendShares(shares, counts)
    }
    return [...shares]
      .filter(([name]) => name !== baseName)
      .map(([expert, score]) => ({ expert, score }))
      .toSorted((a, b) => b.score - a.score)
      .slice(0, most)
  }

  /** The counts, without sessions: who asked what is not kept. */
  save(): Readonly<Record<string, unknown>> {
    return {
      counts: [...this.#counts].map(([history, counts]) => [JSON.parse(history), [...counts]]),
    }
  }

  #count(key: string, name: string): void {
    let counts = this.#counts.get(key)
    if (!counts) {
      if (this.#counts.size === mostContexts) return
      counts = new Map()
      this.#counts.set(key, counts)
    }
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }

  /** Restores what `save` gave. Throws FormatError. */
  static read(saved: unknown): NextExperts {
    const made = new NextExperts()
    const rows = isRecord(saved) ? saved['counts'] : undefined
    if (!Array.isArray(rows))
      throw new FormatError(`Next experts: got ${describeValue(saved)}, expected { counts }.`)
    for (const row of rows as unknown[]) {
      if (!isCountRow(row))
        throw new FormatError(
          `Next experts: counts: got ${describeValue(row)}, expected [history, [[expert, count]]].`,
        )
      made.#counts.set(toKey(row[0]), new Map(row[1]))
    }
    return made
  }
}

/**
 * Shares of the shorter history and counts of the longer one: (counts + k·shares) / (total + k).
 */
function blendShares(shares: ReadonlyMap<string, number>, counts: Counts): Map<string, number> {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0)
  const weight = shares.size === 0 ? 0 : backOff
  const names = new Set([...shares.keys(), ...counts.keys()])
  return new Map(
    [...names].map((name) => [
      name,
      ((counts.get(name) ?? 0) + weight * (shares.get(name) ?? 0)) / (total + weight),
    ]),
  )
}

type CountRow = readonly [readonly string[], readonly (readonly [string, number])[]]

const isCountRow = (row: unknown): row is CountRow =>
  Array.isArray(row) &&
  row.length === 2 &&
  Array.isArray(row[0]) &&
  row[0].length <= 2 &&
  row[0].every((name: unknown) => typeof name === 'string') &&
  Array.isArray(row[1]) &&
  row[1].every(
    (pair: unknown) =>
      Array.isArray(pair) &&
      typeof pair[0] === 'string' &&
      Number.isSafeInteger(pair[1]) &&
      Number(pair[1]) > 0,
  )

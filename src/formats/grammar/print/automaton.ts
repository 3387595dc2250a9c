// An expression without rules as states: Glushkov's construction, one state for each set of texts
// and classes that may come next. V. M. Glushkov, 1961.

import type { GrammarExpression } from '../grammar.ts'

/** A text or a class. */
export type Atom = Extract<GrammarExpression, { readonly type: 'text' | 'codes' }>

export interface Step {
  readonly atom: Atom
  readonly to: State
}

export interface State {
  readonly id: number
  /** Whether the text may end here. */
  readonly isEnd: boolean
  readonly steps: readonly Step[]
}

/** Positions of atoms: which may come first, which last, and whether the empty text fits. */
interface Span {
  readonly first: readonly number[]
  readonly last: readonly number[]
  readonly isEmpty: boolean
}

const EMPTY_SPAN: Span = { first: [], last: [], isEmpty: true }

class Positions {
  readonly atoms: Atom[] = []
  readonly follow: Set<number>[] = []

  read(expression: GrammarExpression): Span {
    switch (expression.type) {
      case 'text':
        return expression.text === '' ? EMPTY_SPAN : this.#add(expression)
      case 'codes':
        return this.#add(expression)
      case 'sequence':
        return expression.parts.reduce<Span>(
          (before, part) => this.#join(before, this.read(part)),
          EMPTY_SPAN,
        )
      case 'either': {
        const spans = expression.parts.map((part) => this.read(part))
        return {
          first: spans.flatMap(({ first }) => first),
          last: spans.flatMap(({ last }) => last),
          isEmpty: spans.some(({ isEmpty }) => isEmpty),
        }
      }
      case 'repeat':
        return this.#repeat(expression)
      case 'rule':
      case 'free':
        throw new Error(`internal: ${expression.type} is not regular`)
    }
  }

  #add(atom: Atom): Span {
    const at = this.atoms.push(atom) - 1
    this.follow.push(new Set())
    return { first: [at], last: [at], isEmpty: false }
  }

  #join(a: Span, b: Span): Span {
    this.#connect(a.last, b.first)
    return {
      first: a.isEmpty ? [...a.first, ...b.first] : a.first,
      last: b.isEmpty ? [...a.last, ...b.last] : b.last,
      isEmpty: a.isEmpty && b.isEmpty,
    }
  }

  #connect(last: readonly number[], first: readonly number[]): void {
    for (const from of last) for (const to of first) this.follow[from]!.add(to)
  }

  #repeat({ of, least, most }: GrammarExpression & { readonly type: 'repeat' }): Span {
    if (!Number.isFinite(most)) {
      const before = this.#copies(of, Math.max(0, least - 1))
      const loop = this.read(of)
      this.#connect(loop.last, loop.first)
      return this.#join(before, least === 0 ? { ...loop, isEmpty: true } : loop)
    }
    const before = this.#copies(of, least)
    // of (of (of …)?)?: a copy is followed by the next one only.
    let rest: Span = EMPTY_SPAN
    for (let i = least; i < most; i++) rest = { ...this.#join(this.read(of), rest), isEmpty: true }
    return this.#join(before, rest)
  }

  #copies(of: GrammarExpression, count: number): Span {
    let span: Span = EMPTY_SPAN
    for (let i = 0; i < count; i++) span = this.#join(span, this.read(of))
    return span
  }
}

/** The state before the expression; the others are reached from it. */
export function createAutomaton(expression: GrammarExpression): State {
  const positions = new Positions()
  const { first, last, isEmpty } = positions.read(expression)
  const ends = new Set(last)
  const states = new Map<string, State & { steps: Step[] }>()
  const waiting: (() => void)[] = []
  const getState = (next: Iterable<number>, isEnd: boolean): State => {
    const sorted = [...new Set(next)].sort((a, b) => a - b)
    const key = `${isEnd} ${sorted.join()}`
    const known = states.get(key)
    if (known) return known
    const state = { id: states.size, isEnd, steps: [] as Step[] }
    states.set(key, state)
    waiting.push(() => {
      for (const at of sorted)
        state.steps.push({
          atom: positions.atoms[at]!,
          to: getState(positions.follow[at]!, ends.has(at)),
        })
    })
    return state
  }
  const start = getState(first, isEmpty)
  for (let fill = waiting.pop(); fill; fill = waiting.pop()) fill()
  return start
}

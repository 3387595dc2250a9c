// The coder's data: small JavaScript functions and what they return, and formulas to write from
// examples.

import type { Random } from '../../../base/random.ts'
import { between, isNumber, pick } from './answers.ts'
import { readExpression } from './expression.ts'
import type { RoleData, TaskMaker } from './role-data.ts'

/** Brackets everywhere, so that precedence is no riddle. */
function expression(random: Random, depth: number): string {
  if (depth === 0) return random.uniform() < 0.6 ? 'x' : String(between(random, 1, 9))
  const operator = pick(random, ['+', '-', '*', '%'])
  // never a remainder of zero
  const right = operator === '%' ? String(between(random, 2, 9)) : expression(random, depth - 1)
  return `(${expression(random, depth - 1)} ${operator} ${right})`
}

const evaluate: TaskMaker = {
  name: 'evaluate',
  make(random) {
    const body = expression(random, between(random, 2, 3))
    const x = between(random, 2, 30)
    const value = readExpression(body)!(x) + 0 // −0 is written as 0
    return {
      prompt: `function f(x) {\n  return ${body}\n}\nWhat does f(${x}) return? Answer with the number.`,
      completion: String(value),
      facts: { value },
    }
  },
  check: ({ value }, answer) => isNumber(answer, value),
}

const loop: TaskMaker = {
  name: 'loop',
  make(random) {
    const start = between(random, 0, 5)
    const end = between(random, 8, 25)
    const step = between(random, 1, 3)
    const divisor = between(random, 2, 4)
    const factor = between(random, 1, 5)
    const first = between(random, 0, 9)
    let value = first
    for (let i = start; i < end; i += step) if (i % divisor === 0) value += i * factor
    const code = `let total = ${first}\nfor (let i = ${start}; i < ${end}; i += ${step}) {\n  if (i % ${divisor} === 0) total += i * ${factor}\n}`
    return {
      prompt: `${code}\nWhat is total at the end? Answer with the number.`,
      completion: String(value),
      facts: { value },
    }
  },
  check: ({ value }, answer) => isNumber(answer, value),
}

const list: TaskMaker = {
  name: 'list',
  make(random) {
    const values = Array.from({ length: between(random, 4, 7) }, () => between(random, 0, 20))
    const limit = between(random, 3, 14)
    const factor = between(random, 2, 5)
    const value = values
      .filter((each) => each > limit)
      .reduce((sum, each) => sum + each * factor, 0)
    const code = `[${values.join(', ')}].filter((n) => n > ${limit}).map((n) => n * ${factor}).reduce((a, b) => a + b, 0)`
    return {
      prompt: `${code}\nWhat is its value? Answer with the number.`,
      completion: String(value),
      facts: { value },
    }
  },
  check: ({ value }, answer) => isNumber(answer, value),
}

const formula: TaskMaker = {
  name: 'formula',
  make(random) {
    const factor = between(random, 2, 12)
    const offset = between(random, 1, 20)
    const points = [0, 1, between(random, 2, 9)].map((x) => [x, factor * x + offset])
    const shown = points.map(([x, y]) => `f(${x}) = ${y}`).join(', ')
    return {
      prompt: `${shown}\nWrite f as an arithmetic expression in x. Answer with the expression.`,
      completion: `${factor} * x + ${offset}`,
      facts: { points },
    }
  },
  check({ points }, answer) {
    const f = readExpression(answer.trim())
    return (
      f !== undefined && (points as [number, number][]).every(([x, y]) => Math.abs(f(x) - y) < 1e-9)
    )
  },
}

export const coder: RoleData = {
  name: 'coder',
  domain: 'code',
  topics: [
    { name: 'completion', quality: [0.75, 1] },
    { name: 'refactoring', quality: [0.6, 0.95] },
    { name: 'debugging', quality: [0.5, 0.9] },
    { name: 'testing', quality: [0.65, 1] },
  ],
  tasks: [evaluate, loop, list, formula],
}

// The coder's data: small JavaScript functions and what they return, and formulas to write from
// examples.

import type { Random } from '../../../base/random.ts'
import { drawInteger, isExpectedNumber, pick } from './answers.ts'
import { parseExpression } from './expression.ts'
import type { RoleData, TaskGenerator } from './role-data.ts'

/** Fully parenthesised, so that precedence does not matter. */
function drawExpression(random: Random, depth: number): string {
  if (depth === 0) return random.uniform() < 0.6 ? 'x' : String(drawInteger(random, 1, 9))
  const operator = pick(random, ['+', '-', '*', '%'])
  // never a remainder by zero
  const right =
    operator === '%' ? String(drawInteger(random, 2, 9)) : drawExpression(random, depth - 1)
  return `(${drawExpression(random, depth - 1)} ${operator} ${right})`
}

const evaluate: TaskGenerator = {
  name: 'evaluate',
  generate(random) {
    const body = drawExpression(random, drawInteger(random, 2, 3))
    const x = drawInteger(random, 2, 30)
    const value = parseExpression(body)!(x) + 0 // −0 is written as 0
    return {
      prompt: `function f(x) {\n  return ${body}\n}\nWhat does f(${x}) return? Answer with the number.`,
      completion: String(value),
      facts: { value },
    }
  },
  check: ({ value }, answer) => isExpectedNumber(answer, value),
}

const loop: TaskGenerator = {
  name: 'loop',
  generate(random) {
    const start = drawInteger(random, 0, 5)
    const end = drawInteger(random, 8, 25)
    const step = drawInteger(random, 1, 3)
    const divisor = drawInteger(random, 2, 4)
    const factor = drawInteger(random, 1, 5)
    const first = drawInteger(random, 0, 9)
    let value = first
    for (let i = start; i < end; i += step) if (i % divisor === 0) value += i * factor
    const code = `let total = ${first}\nfor (let i = ${start}; i < ${end}; i += ${step}) {\n  if (i % ${divisor} === 0) total += i * ${factor}\n}`
    return {
      prompt: `${code}\nWhat is total at the end? Answer with the number.`,
      completion: String(value),
      facts: { value },
    }
  },
  check: ({ value }, answer) => isExpectedNumber(answer, value),
}

const list: TaskGenerator = {
  name: 'list',
  generate(random) {
    const values = Array.from({ length: drawInteger(random, 4, 7) }, () =>
      drawInteger(random, 0, 20),
    )
    const limit = drawInteger(random, 3, 14)
    const factor = drawInteger(random, 2, 5)
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
  check: ({ value }, answer) => isExpectedNumber(answer, value),
}

const formula: TaskGenerator = {
  name: 'formula',
  generate(random) {
    const factor = drawInteger(random, 2, 12)
    const offset = drawInteger(random, 1, 20)
    const points = [0, 1, drawInteger(random, 2, 9)].map((x) => [x, factor * x + offset])
    const shown = points.map(([x, y]) => `f(${x}) = ${y}`).join(', ')
    return {
      prompt: `${shown}\nWrite f as an arithmetic expression in x. Answer with the expression.`,
      completion: `${factor} * x + ${offset}`,
      facts: { points },
    }
  },
  check({ points }, answer) {
    const f = parseExpression(answer.trim())
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

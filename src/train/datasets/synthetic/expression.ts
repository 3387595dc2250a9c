// Parses and evaluates arithmetic in one variable, for answers that are formulas. Knows + −
// * / %, brackets, numbers and x; nothing runs as code.

type Compute = (x: number) => number

const operators: Readonly<Record<string, (a: number, b: number) => number>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '%': (a, b) => a % b,
}
const levels = [
  ['+', '-'],
  ['*', '/', '%'],
]

/** The function of a string like '(x + 2) * 3'; undefined if it is no such formula. */
export function parseExpression(text: string): Compute | undefined {
  const tokens = text.match(/\d+(?:\.\d+)?|[x()+\-*/%]|\S/g) ?? []
  let at = 0
  const fail = (): undefined => undefined

  function level(depth: number): Compute | undefined {
    if (depth === levels.length) return unary()
    let left = level(depth + 1)
    while (left && levels[depth]!.includes(tokens[at] ?? '')) {
      const apply = operators[tokens[at++]!]!
      const one = left
      const other = level(depth + 1)
      left = other && ((x) => apply(one(x), other(x)))
    }
    return left
  }
  function unary(): Compute | undefined {
    const token = tokens[at++]
    if (token === undefined) return fail()
    if (token === '-') {
      const inner = unary()
      return inner && ((x) => -inner(x))
    }
    if (token === 'x') return (x) => x
    if (/^\d/.test(token)) return () => Number(token)
    if (token !== '(') return fail()
    const inner = level(0)
    return tokens[at++] === ')' ? inner : fail()
  }
  const whole = level(0)
  return at === tokens.length ? whole : undefined
}

// Evaluates the expressions of a template.

import { getAttribute, getItem, getSlice } from './attributes.ts'
import { applyFilter } from './filters.ts'
import type { CallArguments, Expression } from './nodes.ts'
import { comparisonSigns, computeBinary, computeSign } from './operators.ts'
import type { Scope } from './scope.ts'
import { applyTest } from './test-table.ts'
import { toText } from './show.ts'
import {
  Callable,
  describeType,
  findKey,
  isDict,
  isTrue,
  listItems,
  Loop,
  makeTuple,
  refuseUndefined,
  TemplateError,
  Undefined,
} from './values.ts'

type Kind = Expression['kind']
type NodeOf<K extends Kind> = Extract<Expression, { kind: K }>

export interface GivenArguments {
  readonly args: readonly unknown[]
  readonly named: Map<string, unknown>
}

export function evaluateArguments(given: CallArguments, scope: Scope): GivenArguments {
  const args = given.positional.map((item) => evaluate(item, scope))
  if (given.spread) args.push(...listItems(evaluate(given.spread, scope)))
  const named = new Map(given.named.map(([name, item]) => [name, evaluate(item, scope)]))
  if (given.spreadNamed) {
    const spread = evaluate(given.spreadNamed, scope)
    if (!isDict(spread))
      throw new TemplateError(`argument after ** must be a mapping, not ${describeType(spread)}`)
    for (const [key, value] of spread) named.set(toText(key), value)
  }
  return { args, named }
}

/** Calls a function, a macro or a recursive loop. */
export function callValue(callee: unknown, { args, named }: GivenArguments): unknown {
  refuseUndefined(callee)
  if (callee instanceof Callable) return callee.call(args, named)
  if (callee instanceof Loop && callee.recurse) return callee.recurse(args[0])
  throw new TemplateError(`'${describeType(callee)}' object is not callable`)
}

function compareAll(node: NodeOf<'comparison'>, scope: Scope): boolean {
  let left = evaluate(node.first, scope)
  for (const [sign, next] of node.rest) {
    const right = evaluate(next, scope)
    if (!comparisonSigns[sign]!(left, right)) return false
    left = right
  }
  return true
}

function computeOperation({ sign, left, right }: NodeOf<'binary'>, scope: Scope): unknown {
  const first = evaluate(left, scope)
  if (sign === 'and') return isTrue(first) ? evaluate(right, scope) : first
  if (sign === 'or') return isTrue(first) ? first : evaluate(right, scope)
  return computeBinary(sign, first, evaluate(right, scope))
}

const evaluators: {
  readonly [K in Kind]: (node: NodeOf<K>, scope: Scope) => unknown
} = {
  constant: ({ value }) => value,
  name: ({ name }, scope) => scope.get(name),
  list: ({ items }, scope) => items.map((item) => evaluate(item, scope)),
  tuple: ({ items }, scope) => makeTuple(items.map((item) => evaluate(item, scope))),
  concat: ({ items }, scope) => items.map((item) => toText(evaluate(item, scope))).join(''),
  dict: ({ entries }, scope) => {
    const dict = new Map<unknown, unknown>()
    for (const [key, item] of entries)
      dict.set(findKey(dict, evaluate(key, scope)), evaluate(item, scope))
    return dict
  },
  attribute: ({ of, name }, scope) => getAttribute(evaluate(of, scope), name),
  item: ({ of, key }, scope) => getItem(evaluate(of, scope), evaluate(key, scope)),
  slice: ({ of, parts }, scope) =>
    getSlice(
      evaluate(of, scope),
      parts.map((part) => part && evaluate(part, scope)),
    ),
  call: ({ callee, args }, scope) =>
    callValue(evaluate(callee, scope), evaluateArguments(args, scope)),
  filter: ({ of, call }, scope) => {
    const value = evaluate(of, scope)
    const { args, named } = evaluateArguments(call.args, scope)
    return applyFilter(call.name, value, args, named)
  },
  test: ({ of, call, negated }, scope) => {
    const value = evaluate(of, scope)
    return applyTest(call.name, value, evaluateArguments(call.args, scope).args) !== negated
  },
  unary: ({ sign, of }, scope) => {
    const value = evaluate(of, scope)
    return sign === 'not' ? !isTrue(value) : computeSign(sign, value)
  },
  binary: computeOperation,
  comparison: compareAll,
  choice: ({ test, chosen, otherwise }, scope) => {
    if (isTrue(evaluate(test, scope))) return evaluate(chosen, scope)
    return otherwise
      ? evaluate(otherwise, scope)
      : new Undefined('the inline if-expression evaluated to false and no else section was defined')
  },
}

/** The value of an expression. Throws TemplateError if Jinja raises. */
export const evaluate = (node: Expression, scope: Scope): unknown =>
  (evaluators[node.kind] as (node: Expression, scope: Scope) => unknown)(node, scope)

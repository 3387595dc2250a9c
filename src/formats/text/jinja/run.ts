// Runs a template's statements: what a conversation becomes as text.

import { callValue, evaluate, evaluateArguments, type GivenArguments } from './evaluate.ts'
import { applyFilter } from './filters.ts'
import type { TemplateBlock, NamedCall, MacroParameter, Statement, Target } from './nodes.ts'
import { Scope } from './scope.ts'
import { toText } from './show.ts'
import {
  Callable,
  isTrue,
  listItems,
  Loop,
  makeTuple,
  Namespace,
  setInNamespace,
  TemplateError,
  Undefined,
} from './values.ts'

/** What ends a loop's body early. */
type LoopEnd = 'break' | 'continue' | undefined
type StatementOf<K extends Statement['kind']> = Extract<Statement, { kind: K }>

function assign(target: Target, value: unknown, scope: Scope): void {
  if (target.kind === 'name') return scope.set(target.name, value)
  if (target.kind === 'namespace') {
    const held = scope.get(target.name)
    if (!(held instanceof Namespace))
      throw new TemplateError('cannot assign attribute on non-namespace object')
    setInNamespace(held, target.attribute, value)
    return
  }
  const items = listItems(value)
  const { length } = target.items
  if (items.length < length)
    throw new TemplateError(`not enough values to unpack (expected ${length}, got ${items.length})`)
  if (items.length > length)
    throw new TemplateError(`too many values to unpack (expected ${length})`)
  for (const [i, item] of target.items.entries()) assign(item, items[i], scope)
}

/** The text of statements in their own scope. */
function renderIn(body: TemplateBlock, scope: Scope): string {
  const out: string[] = []
  runBlock(body, scope, out)
  return out.join('')
}

function pickItems(node: StatementOf<'for'>, items: readonly unknown[], scope: Scope) {
  const { filter } = node
  if (!filter) return items
  return items.filter((item) => {
    const inner = new Scope(scope)
    assign(node.target, item, inner)
    return isTrue(evaluate(filter, inner))
  })
}

/** One run of a loop over `source`; a recursive one runs again with a greater depth. */
function runLoop(
  node: StatementOf<'for'>,
  source: unknown,
  scope: Scope,
  out: string[],
  depth: number,
): void {
  const items = pickItems(node, listItems(source), scope)
  const recurse = (inner: unknown): string => {
    const text: string[] = []
    runLoop(node, inner, scope, text, depth + 1)
    return text.join('')
  }
  const loop = new Loop(items, depth, node.recursive ? recurse : undefined)
  let isComplete = false // one turn reached its end, as Jinja counts; `continue` does not
  for (const [i, item] of items.entries()) {
    loop.at = i
    const inner = new Scope(scope)
    inner.set('loop', loop)
    assign(node.target, item, inner)
    const end = runBlock(node.body, inner, out)
    if (end === 'break') break
    if (end === undefined) isComplete = true
  }
  if (!isComplete) runBlock(node.otherwise, new Scope(scope), out)
}

/** Whether the name is read anywhere in a part of the tree. */
const hasName = (part: unknown, name: string): boolean => {
  if (Array.isArray(part)) return part.some((item) => hasName(item, name))
  if (typeof part !== 'object' || part === null) return false
  if ('kind' in part && part.kind === 'name' && 'name' in part && part.name === name) return true
  return Object.values(part).some((item) => hasName(item, name))
}

/** A macro, or the body of a call block. */
function createMacro(
  name: string,
  parameters: readonly MacroParameter[],
  body: TemplateBlock,
  scope: Scope,
): Callable {
  const names = parameters.map((parameter) => parameter.name)
  const takes = (special: string): boolean =>
    !names.includes(special) && hasName([parameters.map(({ standard }) => standard), body], special)
  const takesMore = takes('varargs')
  const takesNamed = takes('kwargs')
  const takesCaller = takes('caller')
  const call = (args: readonly unknown[], given: ReadonlyMap<string, unknown>): string => {
    const inner = new Scope(scope)
    const named = new Map(given)
    if (takesCaller) inner.set('caller', named.get('caller') ?? new Undefined('No caller defined'))
    if (takesCaller) named.delete('caller')
    bindParameters(name, parameters, { args, named }, inner)
    if (takesMore) inner.set('varargs', makeTuple(args.slice(names.length)))
    else if (args.length > names.length)
      throw new TemplateError(`macro '${name}' takes not more than ${names.length} argument(s)`)
    if (takesNamed) inner.set('kwargs', named)
    else if (named.size > 0)
      throw new TemplateError(
        `macro '${name}' takes no keyword argument '${named.keys().next().value}'`,
      )
    return renderIn(body, inner)
  }
  const attributes = new Map<string, unknown>([
    ['name', name],
    ['arguments', makeTuple(names)],
    ['caller', takesCaller],
    ['catch_kwargs', takesNamed],
    ['catch_varargs', takesMore],
  ])
  return new Callable(name, call, attributes)
}

/** Sets each parameter; names that are used are taken out of `named`. */
function bindParameters(
  name: string,
  parameters: readonly MacroParameter[],
  { args, named }: GivenArguments,
  scope: Scope,
): void {
  for (const [i, parameter] of parameters.entries()) {
    const isNamed = named.has(parameter.name)
    if (i < args.length && isNamed)
      throw new TemplateError(
        `macro '${name}' got multiple values for argument '${parameter.name}'`,
      )
    const missing = (): unknown =>
      parameter.standard
        ? evaluate(parameter.standard, scope)
        : new Undefined(`parameter '${parameter.name}' was not provided`)
    scope.set(
      parameter.name,
      i < args.length ? args[i] : isNamed ? named.get(parameter.name) : missing(),
    )
    named.delete(parameter.name)
  }
}

const applyFilters = (text: string, filters: readonly NamedCall[], scope: Scope): unknown =>
  filters.reduce<unknown>((value, { name, args }) => {
    const given = evaluateArguments(args, scope)
    return applyFilter(name, value, given.args, given.named)
  }, text)

function runWith({ values, body }: StatementOf<'with'>, scope: Scope, out: string[]): LoopEnd {
  const inner = new Scope(scope)
  for (const [target, value] of values) assign(target, evaluate(value, scope), inner)
  return runBlock(body, inner, out)
}

function runCallBlock(node: StatementOf<'call-block'>, scope: Scope, out: string[]): void {
  const caller = createMacro('caller', node.parameters, node.body, scope)
  const given = evaluateArguments(node.call.args, scope)
  given.named.set('caller', caller)
  out.push(toText(callValue(evaluate(node.call.callee, scope), given)))
}

const runners: {
  readonly [K in Statement['kind']]: (
    node: StatementOf<K>,
    scope: Scope,
    out: string[],
  ) => LoopEnd | void
} = {
  text: ({ text }, _scope, out) => void out.push(text),
  print: ({ value }, scope, out) => void out.push(toText(evaluate(value, scope))),
  if: ({ branches, otherwise }, scope, out) => {
    const chosen = branches.find(([test]) => isTrue(evaluate(test, scope)))
    return runBlock(chosen ? chosen[1] : otherwise, scope, out)
  },
  for: (node, scope, out) => runLoop(node, evaluate(node.items, scope), scope, out, 0),
  set: ({ target, value }, scope) => assign(target, evaluate(value, scope), scope),
  'set-block': ({ target, filters, body }, scope) =>
    assign(target, applyFilters(renderIn(body, new Scope(scope)), filters, scope), scope),
  macro: ({ name, parameters, body }, scope) =>
    scope.set(name, createMacro(name, parameters, body, scope)),
  'call-block': runCallBlock,
  'filter-block': ({ filters, body }, scope, out) =>
    void out.push(toText(applyFilters(renderIn(body, new Scope(scope)), filters, scope))),
  with: runWith,
  break: () => 'break',
  continue: () => 'continue',
}

function runBlock(body: TemplateBlock, scope: Scope, out: string[]): LoopEnd {
  for (const node of body) {
    const run = runners[node.kind] as (
      node: Statement,
      scope: Scope,
      out: string[],
    ) => LoopEnd | void
    const end = run(node, scope, out)
    if (end) return end
  }
  return undefined
}

/** The text of a parsed template. Throws TemplateError if Jinja raises. */
export const renderTemplate = (
  template: TemplateBlock,
  values: ReadonlyMap<string, unknown>,
): string => {
  const root = new Scope()
  for (const [name, value] of values) root.set(name, value)
  return renderIn(template, new Scope(root))
}

// Tools that a row offers, and calls of them in messages: OpenAI's two forms, Anthropic's, and
// lists as JSON text. All are converted to the form that chat templates expect.

import { parseExactJson } from '../../base/exact-number.ts'
import type { DataRecord } from './data-format.ts'
import type { RowLog } from './row-log.ts'

type Tool = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Tool =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const wrapFunction = (called: object): object => ({ type: 'function', function: called })

/**
 * Parses a list that is given as JSON text, as in Parquet and CSV; returns any other value
 * unchanged.
 */
export function readJsonList(value: unknown): unknown {
  if (typeof value !== 'string' || !/^\s*[[{]/.test(value)) return value
  try {
    return parseExactJson(value)
  } catch {
    return value
  }
}

/** Whether a key has a value: not null, not an empty text or list. */
const hasValue = (value: unknown): boolean =>
  value !== undefined &&
  value !== null &&
  value !== '' &&
  !(Array.isArray(value) && value.length === 0)

const isName = (name: unknown): boolean => typeof name === 'string' && name !== ''

/** Converts Anthropic's form to OpenAI's; other forms are not changed. */
function toFunctionTool(tool: Tool, log: RowLog): object {
  const { name, description, input_schema: parameters, ...others } = tool
  if (parameters === undefined) return tool
  for (const key of Object.keys(others)) if (key !== 'type') log.leftOut.add(`tools[].${key}`)
  return wrapFunction({ name, ...(description !== undefined && { description }), parameters })
}

/**
 * The tools of a row, or what is wrong with them. Undefined if it offers none. `bare` names the
 * format whose tools are functions without a wrapper.
 */
export function readTools(
  { tools, functions }: DataRecord,
  log: RowLog,
  bare = false,
): readonly object[] | string | undefined {
  const key = hasValue(functions) ? 'functions' : 'tools'
  const given = key === 'tools' ? tools : functions
  if (!hasValue(given)) return undefined
  if (key === 'functions' && hasValue(tools))
    return '"tools" and "functions" are two names of one thing; give one of them'
  const list = readJsonList(given)
  if (!Array.isArray(list)) return `"${key}" must be a list`
  if (!list.every(isObject)) return `"${key}" must be a list of objects`
  const nameless = list.findIndex((tool) => 'input_schema' in tool && !isName(tool['name']))
  if (nameless >= 0) return `"${key}": tool ${nameless + 1} has no name that is a string`
  log.passed.add('tools')
  return list.map((tool) =>
    key === 'functions' || (bare && !('function' in tool) && !('input_schema' in tool))
      ? wrapFunction(tool)
      : toFunctionTool(tool, log),
  )
}

const callKeys = new Set(['id', 'type', 'index', 'function'])

/** The calls of an assistant's message, or what is wrong with them; undefined if it has none. */
export function readCalls(
  { tool_calls: calls, function_call: call }: DataRecord,
  log: RowLog,
): readonly object[] | string | undefined {
  if (isObject(call)) {
    if (Array.isArray(calls) && calls.length > 0)
      return '"tool_calls" and "function_call" are two names of one thing; give one of them'
    return [wrapFunction(call)]
  }
  if (call !== undefined && call !== null) return '"function_call" must be an object'
  const list = readJsonList(calls)
  if (list === undefined || list === null) return undefined
  if (!Array.isArray(list) || !list.every(isObject)) return '"tool_calls" must be a list of objects'
  for (const one of list)
    for (const key of Object.keys(one))
      if (!callKeys.has(key)) log.passed.add(`messages[].tool_calls[].${key}`)
  return list.length > 0 ? list : undefined
}

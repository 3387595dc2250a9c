// The answer calls the row's functions with the row's arguments. Rules as the AST check of the
// Berkeley Function Calling Leaderboard has them (Patil et al. 2025,
// https://gorilla.cs.berkeley.edu/leaderboard.html): calls in any order; texts but for case, blanks
// and , . / - _ * ^; each argument one of its accepted values; "" among them makes it optional.

import { isRecord } from '../../base/schema.ts'
import { isEqualJson, parseJson } from '../json.ts'
import { type Metric, scoreBinary } from '../metric.ts'

interface Call {
  readonly name: string
  readonly arguments: Readonly<Record<string, unknown>>
}

/** A wanted call: for each argument the values that are right. */
interface AcceptedCall {
  readonly name: string
  readonly arguments: Readonly<Record<string, readonly unknown[]>>
}

const tags = /<(tool_call|function_call|tool_calls)>([^]*?)(?:<\/\1>|$)/gu
const fence = /```[a-z]*\s*\n([^]*?)```/iu

/** The JSON values of an answer: in tags of tool calls, in a fence, or the whole. */
function readValues(answer: string): unknown[] {
  const tagged = [...answer.matchAll(tags)].map(([, , text = '']) => text)
  const texts = tagged.length > 0 ? tagged : [fence.exec(answer)?.[1] ?? answer]
  return texts.flatMap((text) => {
    const value = parseJson(text.trim())?.value
    return Array.isArray(value) ? (value as unknown[]) : [value]
  })
}

/**
 * `{"name", "arguments" | "parameters"}`, OpenAI's `{"function": {…}}`, or BFCL's `{"name": {…}}`.
 */
function toCall(value: unknown): Call | undefined {
  if (!isRecord(value)) return undefined
  if (isRecord(value['function'])) return toCall(value['function'])
  if (typeof value['name'] === 'string') {
    const given = value['arguments'] ?? value['parameters'] ?? {}
    const read = typeof given === 'string' ? parseJson(given)?.value : given
    return isRecord(read) ? { name: value['name'], arguments: read } : undefined
  }
  const entries = Object.entries(value)
  const [name, given] = entries[0] ?? []
  return entries.length === 1 && name !== undefined && isRecord(given)
    ? { name, arguments: given }
    : undefined
}

/** The calls of an answer; undefined if a part of it is not a call. '[]' makes no call. */
export function readCalls(answer: string): Call[] | undefined {
  const calls = readValues(answer).map(toCall)
  return calls.every((call) => call !== undefined) ? calls : undefined
}

const simplify = (text: string): string =>
  text
    .replaceAll(/[ ,./\-_*^]/gu, '')
    .replaceAll("'", '"')
    .toLowerCase()

/** Equality of arguments: texts by their letters, numbers by value, lists and objects by parts. */
function isSameValue(found: unknown, wanted: unknown): boolean {
  if (typeof found === 'string' && typeof wanted === 'string')
    return simplify(found) === simplify(wanted)
  if (Array.isArray(found) && Array.isArray(wanted))
    return found.length === wanted.length && found.every((one, i) => isSameValue(one, wanted[i]))
  if (isRecord(found) && isRecord(wanted) && !Array.isArray(found) && !Array.isArray(wanted)) {
    const names = Object.keys(found)
    return (
      names.every((name) => Object.hasOwn(wanted, name) && isAccepted(found[name], wanted[name])) &&
      Object.keys(wanted).every(
        (name) => Object.hasOwn(found, name) || isOptional(toList(wanted[name])),
      )
    )
  }
  return isEqualJson(found, wanted)
}

const toList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value])

/** In an object's fields, BFCL lists what is accepted; a row of ours may have the value itself. */
const isAccepted = (found: unknown, wanted: unknown): boolean =>
  isSameValue(found, wanted) || toList(wanted).some((one) => isSameValue(found, one))

/** An empty list of accepted values means the empty list, in a few rows of BFCL. */
const isOptional = (values: readonly unknown[]): boolean =>
  values.includes('') || values.length === 0

const isOneOf = (found: unknown, values: readonly unknown[]): boolean =>
  values.some((one) => isSameValue(found, one)) ||
  (values.length === 0 && Array.isArray(found) && found.length === 0)

const isSameCall = (found: Call, wanted: AcceptedCall): boolean =>
  found.name === wanted.name &&
  Object.entries(found.arguments).every(
    ([name, value]) =>
      Object.hasOwn(wanted.arguments, name) && isOneOf(value, wanted.arguments[name]!),
  ) &&
  Object.entries(wanted.arguments).every(
    ([name, values]) => Object.hasOwn(found.arguments, name) || isOptional(values),
  )

/** Whether each wanted call can be matched to a different found one (Kuhn's matching). */
export function hasSameCalls(found: readonly Call[], wanted: readonly AcceptedCall[]): boolean {
  if (found.length !== wanted.length) return false
  const taken = new Map<number, number>() // a found call → the wanted one that has it
  const place = (w: number, tried: Set<number>): boolean =>
    found.some((call, f) => {
      if (tried.has(f) || !isSameCall(call, wanted[w]!)) return false
      tried.add(f)
      if (taken.has(f) && !place(taken.get(f)!, tried)) return false
      taken.set(f, w)
      return true
    })
  return wanted.every((_, w) => place(w, new Set()))
}

/** The row's `accepts`, in BFCL's form, else the calls of the wanted answer. */
function readWanted(
  row: Readonly<Record<string, unknown>>,
  wanted: string,
): AcceptedCall[] | undefined {
  const { accepts } = row
  if (accepts === undefined)
    return readCalls(wanted)?.map(({ name, arguments: given }) => ({
      name,
      arguments: Object.fromEntries(Object.entries(given).map(([key, value]) => [key, [value]])),
    }))
  if (!Array.isArray(accepts)) return undefined
  const calls = accepts.map(toCall)
  return calls.every(
    (call) => call !== undefined && Object.values(call.arguments).every(Array.isArray),
  )
    ? (calls as AcceptedCall[])
    : undefined
}

export const callMatch: Metric = {
  name: 'call-match',
  about: 'the answer is JSON of the wanted function calls, each argument one that is accepted',
  needs: 'answers',
  kind: 'share',
  better: 'higher',
  findProblem: ({ row, wanted }) =>
    readWanted(row, wanted)
      ? undefined
      : 'the wanted answer is not a JSON list of calls, such as [{"name": "add", "arguments": {"a": 1}}], and the row has no "accepts"',
  score({ row, answer, wanted }) {
    const found = readCalls(answer)
    return scoreBinary(found !== undefined && hasSameCalls(found, readWanted(row, wanted)!))
  },
}

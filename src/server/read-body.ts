// Reads and checks the body of a request. Every problem is an error of status 400 that names the
// parameter by its path.

import {
  describeUnknownOption,
  describeValue,
  type Field,
  findValueProblems,
  isRecord,
  joinProblems,
} from '../base/schema.ts'
import { type BodySource, readText } from './read-text.ts'
import { RequestError } from './request-error.ts'
import type { BodyForm } from './route.ts'

/** Deeper bodies are refused, because later code might read them by recursion. */
const MOST_LEVELS = 100

const MOST_BYTES = 8 * 2 ** 20

/** For routes without fields: the body may also be empty. */
export const noBody: BodyForm = { fields: {}, required: [] }

/** The body as an object; entries that are null count as absent and are left out. */
export async function readBody(
  request: BodySource,
  form: BodyForm,
  maxBytes = MOST_BYTES,
): Promise<Readonly<Record<string, unknown>>> {
  const text = await readText(request, maxBytes)
  if (form === noBody && text.trim() === '') return {}
  const value = parseJson(text)
  if (!isRecord(value))
    throw new RequestError(`The body is ${describeValue(value)}, expected a JSON object.`, {
      code: 'invalid_json',
    })
  checkDepth(value)
  const given = Object.fromEntries(
    Object.entries(value).filter(([, item]) => item !== null && item !== undefined),
  )
  return checkBody(given, form)
}

/** The error for a body that is not an object. */
export async function readListBody(
  request: BodySource,
  field: Field,
  maxBytes = MOST_BYTES,
): Promise<unknown> {
  const value = parseJson(await readText(request, maxBytes))
  checkDepth(value)
  const problems = field.findProblems(value, 'body')
  if (problems.length > 0) throw new RequestError(joinProblems(problems), { code: 'invalid_value' })
  return value
}

function parseJson(text: string): unknown {
  if (text.trim() === '')
    throw new RequestError('The body is empty, expected a JSON object.', { code: 'invalid_json' })
  try {
    return JSON.parse(text)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new RequestError(`The body is not valid JSON: ${reason}`, { code: 'invalid_json' })
  }
}

/** Refuses keys that no client sends and that could break code that reads them. */
function checkDepth(body: unknown): void {
  let level: readonly unknown[] = [body]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MOST_LEVELS)
      throw new RequestError(`The body is nested deeper than ${MOST_LEVELS} levels.`, {
        code: 'invalid_json',
      })
    const next: unknown[] = []
    for (const value of level) {
      if (typeof value !== 'object' || value === null) continue
      if (Object.hasOwn(value, '__proto__'))
        throw new RequestError('The body has a key "__proto__", which is refused.', {
          param: '__proto__',
        })
      for (const item of Object.values(value))
        if (typeof item === 'object' && item !== null) next.push(item)
    }
    level = next
  }
}

/** The known fields of a body. Throws one RequestError that lists every problem. */
export function checkBody(
  given: Readonly<Record<string, unknown>>,
  { fields, required, refused = {} }: BodyForm,
): Readonly<Record<string, unknown>> {
  const problems: { readonly param: string; readonly text: string }[] = []
  const kept: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(given)) {
    if (Object.hasOwn(fields, name)) kept[name] = value
    else if (Object.hasOwn(refused, name)) {
      const { reason, neutral = [] } = refused[name]!
      if (!neutral.some((one) => JSON.stringify(one) === JSON.stringify(value)))
        problems.push({ param: name, text: `${name}: ${reason}` })
    } else {
      const names = [...Object.keys(fields), ...Object.keys(refused)]
      problems.push({ param: name, text: describeUnknownParameter(name, names) })
    }
  }
  for (const name of required)
    if (given[name] === undefined) problems.push({ param: name, text: `${name} is missing` })
  for (const text of findValueProblems(kept, fields))
    problems.push({ param: readParam(text), text })
  if (problems.length > 0)
    throw new RequestError(joinProblems(problems.map(({ text }) => text)), {
      param: problems[0]!.param,
      code: 'invalid_value',
    })
  return kept
}

function describeUnknownParameter(name: string, names: readonly string[]): string {
  const takes = { prompt: 'messages', messages: 'prompt' }[name]
  if (takes !== undefined && names.includes(takes))
    return `there is no parameter "${name}" here: this route takes ${takes}, ${findRouteOf(name, names)} takes ${name}`
  return describeUnknownOption(name.slice(0, 100), names).replace(
    'there is no option',
    'there is no parameter',
  )
}

/** The route, of Ollama's or of OpenAI's, that takes what was given to another one. */
const findRouteOf = (name: string, names: readonly string[]): string =>
  names.includes('keep_alive')
    ? { prompt: '/api/generate', messages: '/api/chat' }[name]!
    : { prompt: '/v1/completions', messages: '/v1/chat/completions' }[name]!

/** 'messages[2].content: got 1' → 'messages.2.content'; of an unknown option, its quoted path. */
const readParam = (problem: string): string =>
  (
    /^there is no option "([^"]*)"/.exec(problem)?.[1] ??
    /^[^:\s]+/.exec(problem)?.[0] ??
    ''
  ).replaceAll(/\[(\d+)\]/g, '.$1')

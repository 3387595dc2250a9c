// Functions that a model may call, read from what requests give: OpenAI's form with and without its
// wrapper, and Anthropic's.

import { OptionError } from '../../../base/errors.ts'
import { describeValue, isRecord } from '../../../base/schema.ts'
import { findNearestName } from '../../../base/suggest.ts'
import type { ToolChoice, ToolDefinition } from './tool-call-format.ts'

const nameForm = /^[\w.-]{1,64}$/

/** Throws OptionError that names every tool that is wrong. */
export function readToolDefinitions(tools: readonly unknown[]): ToolDefinition[] {
  const problems: string[] = []
  const read = tools.map((tool, i) => readTool(tool, `tools[${i}]`, problems))
  const names = read.map(({ name }) => name)
  for (const name of new Set(names.filter((one, i) => one !== '' && names.indexOf(one) !== i)))
    problems.push(`two tools have the name ${JSON.stringify(name)}`)
  if (problems.length > 0) throw new OptionError(`Tools: ${problems.join('; ')}.`)
  return read
}

function readTool(tool: unknown, place: string, problems: string[]): ToolDefinition {
  const refuse = (what: string): ToolDefinition => {
    problems.push(`${place}${what}`)
    return { name: '', parameters: {} }
  }
  if (!isRecord(tool)) return refuse(`: got ${describeValue(tool)}, expected an object`)
  const { type } = tool
  if (type !== undefined && type !== 'function' && type !== 'custom')
    return refuse(`.type: got ${describeValue(type)}, expected "function"`)
  const given = isRecord(tool['function']) ? tool['function'] : tool
  const { name, description, parameters = given['input_schema'] } = given
  if (typeof name !== 'string' || !nameForm.test(name))
    return refuse(
      `: the name is ${describeValue(name)}, expected 1 to 64 letters, digits, "_", "-" or "."`,
    )
  if (description !== undefined && description !== null && typeof description !== 'string')
    return refuse(` (${name}): the description is not text`)
  if (parameters !== undefined && parameters !== null && !isRecord(parameters))
    return refuse(` (${name}): the parameters are no JSON Schema of an object`)
  return {
    name,
    ...(typeof description === 'string' && { description }),
    parameters: isRecord(parameters) ? parameters : { type: 'object', properties: {} },
  }
}

/** A tool in OpenAI's form, which chat templates know. */
export const toFunctionTool = ({ name, description, parameters }: ToolDefinition): object => ({
  type: 'function',
  function: { name, ...(description !== undefined && { description }), parameters },
})

/**
 * The choice as requests give it: 'auto', 'none', 'required', or a function's name in OpenAI's form.
 * Throws OptionError for another value, and for a name that is not offered.
 */
export function readToolChoice(given: unknown, tools: readonly ToolDefinition[]): ToolChoice {
  if (given === undefined || given === null) return tools.length > 0 ? 'auto' : 'none'
  if (given === 'auto' || given === 'none') return given
  const named = isRecord(given) && isRecord(given['function']) ? given['function'] : given
  const name = isRecord(named) ? named['name'] : undefined
  if (given !== 'required' && typeof name !== 'string')
    throw new OptionError(
      `tool_choice: got ${describeValue(given)}, expected "auto", "none", "required" or the name of a function.`,
    )
  if (tools.length === 0)
    throw new OptionError('tool_choice asks for a call, but there are no tools to call.')
  if (typeof name !== 'string') return 'required'
  const names = tools.map((tool) => tool.name)
  if (names.includes(name)) return { name }
  const meant = findNearestName(name, names)
  throw new OptionError(
    `tool_choice: there is no tool ${JSON.stringify(name)}${meant === undefined ? ` (there are ${names.join(', ')})` : `. Did you mean ${JSON.stringify(meant)}?`}`,
  )
}

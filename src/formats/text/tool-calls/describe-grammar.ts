// A grammar that restricts an answer to calls of offered functions whose arguments fit their
// schemas.

import type { GrammarChoice, StructuralFormat } from '../../grammar/grammar-choice.ts'
import { nothing } from './formats/members-grammar.ts'
import type { CallTags, ToolCallFormat, ToolChoice, ToolDefinition } from './tool-call-format.ts'

export interface ToolGrammarOptions {
  /** At most one call. Default false. */
  readonly oneCall?: boolean | undefined
  /** The answer may think before it calls. Default false. */
  readonly reasons?: boolean | undefined
}

/**
 * 'auto': free text, in which a call that begins is held to its schema. 'required' and a name:
 * calls and nothing else, a name's one call. Undefined if nothing is held: no tools, or 'none'.
 */
export function describeToolGrammar(
  format: ToolCallFormat,
  tools: readonly ToolDefinition[],
  choice: ToolChoice,
  { oneCall = false, reasons = false }: ToolGrammarOptions = {},
): GrammarChoice | undefined {
  if (choice === 'none' || tools.length === 0) return undefined
  const isNamed = typeof choice !== 'string'
  const offered = isNamed ? tools.filter(({ name }) => name === choice.name) : tools
  const tags = format.describeCalls(offered)
  if (choice === 'auto') return { type: 'structural', format: describeFreeText(tags, oneCall) }
  const calls = describeCallsOnly(tags, oneCall || isNamed)
  const [markers] = format.reasoning
  if (!reasons || !markers) return { type: 'structural', format: calls }
  const thought: StructuralFormat = {
    type: 'tag',
    begin: markers.open,
    content: { type: 'any_text' },
    end: `${markers.close}${markers.behind ?? '\n'}`,
  }
  const elements: StructuralFormat[] = [{ type: 'or', elements: [thought, nothing] }, calls]
  return { type: 'structural', format: { type: 'sequence', elements } }
}

const describeList = ({ tags, separator }: CallTags, oneCall: boolean): StructuralFormat => ({
  type: 'tags_with_separator',
  tags,
  separator,
  at_least_one: true,
  stop_after_first: oneCall,
})

function describeCallsOnly(calls: CallTags, oneCall: boolean): StructuralFormat {
  const list = describeList(calls, oneCall)
  const { around } = calls
  return around ? { type: 'tag', begin: around.begin, content: list, end: around.end } : list
}

function describeFreeText(calls: CallTags, oneCall: boolean): StructuralFormat {
  const { triggers, tags, around } = calls
  const whole = around && {
    type: 'tag' as const,
    begin: around.begin,
    content: describeList(calls, oneCall),
    end: around.end,
  }
  return {
    type: 'triggered_tags',
    triggers,
    tags: whole ? [whole] : tags,
    ...(oneCall && { stop_after_first: true }),
  }
}

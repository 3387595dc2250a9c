import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { createTokenizer } from '../formats/text/tokenizer.ts'
import { joinToolCallEvents } from '../formats/text/tool-calls/parse-answer.ts'
import type { Model } from './model.ts'
import { createPromptEncoder } from './prompt.ts'
import { createToolPrompt } from './tool-prompt.ts'

const read = (name: string): object =>
  JSON.parse(
    readFileSync(new URL(`../catalogue/models/stories260k/${name}`, import.meta.url), 'utf8'),
  ) as object

const createModel = (chatTemplate: string): Pick<Model, 'base' | 'encode'> => {
  const tokenizer = createTokenizer(read('tokenizer.json'), read('tokenizer_config.json'))
  const base = { name: 'a', tokenizer, chatTemplate } as unknown as Model['base']
  return { base, encode: createPromptEncoder(base) }
}

const tools = [
  { type: 'function', function: { name: 'noop', parameters: { type: 'object', properties: {} } } },
]
const messages = [{ role: 'user', content: 'Hi' }]

describe('a prompt with tools', () => {
  const template =
    '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: <think>\n{% endif %}{# <tool_call> #}'
  const model = createModel(template)

  it('tells functions, and reads reasoning that the prompt opened', () => {
    const { ids, format, grammar, createParser, keepTokens } = createToolPrompt(model, {
      messages,
      tools,
    })
    const text = model.base.tokenizer!.decode(ids)
    expect(text).toContain('noop')
    expect(format.name).toBe('hermes')
    expect(keepTokens).toContain('<tool_call>')
    expect(grammar).toBeUndefined()
    const parser = createParser()
    const events = parser.push('Hm.</think>Ok <tool_call>{"name": "noop"}</tool_call>')
    expect(joinToolCallEvents([...events, ...parser.end()])).toEqual({
      reasoning: 'Hm.',
      text: 'Ok',
      calls: [{ name: 'noop', arguments: '{}' }],
    })
  })
  it('has a grammar where a call is demanded, and neither tools nor calls where none may be', () => {
    const demanded = createToolPrompt(model, { messages, tools, toolChoice: 'required' })
    expect(demanded.grammar?.type).toBe('structural')
    const none = createToolPrompt(model, { messages, tools, toolChoice: 'none' })
    expect(model.base.tokenizer!.decode(none.ids)).not.toContain('noop')
    expect(none.createParser().push('<tool_call>')).not.toContainEqual(
      expect.objectContaining({ type: 'call-start' }),
    )
  })
  it('refuses a wrong choice before anything is encoded', () => {
    expect(() => createToolPrompt(model, { messages, tools, toolChoice: 'all' })).toThrow('"all"')
  })
})

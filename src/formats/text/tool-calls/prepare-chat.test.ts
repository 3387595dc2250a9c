import { describe, expect, it } from 'vitest'
import { OptionError } from '../../../base/errors.ts'
import { type ChatMessage, compileChatTemplate } from '../chat-template.ts'
import { describeToolGrammar } from './describe-grammar.ts'
import { detectToolCallFormat, getToolCallFormat, toolCallFormats } from './format-table.ts'
import { prepareToolChat, type ToolChat } from './prepare-chat.ts'
import { inspectTemplate } from './template-support.ts'
import { contractTools as tools } from './tool-call-format.contract.ts'
import { readToolChoice, readToolDefinitions } from './tool-definition.ts'

const call = (id: string, name = 'get_weather'): object => ({
  id,
  type: 'function',
  function: { name, arguments: '{"city": "Oslo", "days": 1.0}' },
})

const messages: ChatMessage[] = [
  { role: 'user', content: 'Weather?' },
  { role: 'assistant', content: 'I look.', tool_calls: [call('call-one'), call('call-two')] },
  { role: 'tool', tool_call_id: 'call-two', content: 'rain' },
  { role: 'tool', tool_call_id: 'call-one', content: 'sun' },
  { role: 'user', content: 'Thanks.' },
]

const prepare = (template: string, name: string, given = messages): ToolChat & { text: string } => {
  const render = compileChatTemplate(template)
  const renderTools = (shown: readonly ChatMessage[], some?: readonly object[]): string =>
    render(shown, some && { tools: some })
  const support = inspectTemplate(renderTools)
  const chat = prepareToolChat(given, tools, getToolCallFormat(name), support)
  return { ...chat, text: renderTools(chat.messages, chat.tools) }
}

const plain = '{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}'
const full =
  '{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls %}<tool_call>{{ c.id }}{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}{{ m.name }}{% endfor %}'

describe('a conversation with tools', () => {
  it('stays in the words of a template that knows them', () => {
    const { tools: given, text, messages: shown } = prepare(full, 'hermes')
    expect(given).toHaveLength(2)
    expect(text).toContain('{"city": "Oslo", "days": 1.0}')
    expect(text).toContain('[tool]sunget_weather')
    expect(shown).toHaveLength(5)
  })
  it('is written out for one that knows none', () => {
    const { tools: given, messages: shown } = prepare(plain, 'generic')
    expect(given).toBeUndefined()
    expect(shown.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user'])
    expect(shown[0]!.content).toContain('get_weather')
    const json = '{"name": "get_weather", "arguments": {"city": "Oslo", "days": 1.0}}'
    expect(shown[2]!.content).toBe(`I look.\n${json}\n${json}`)
    expect(shown[3]!.content).toBe(
      'Result of get_weather: rain\nResult of get_weather: sun\nThanks.',
    )
  })
  it('goes into the first user message where no system message is taken', () => {
    const refusing = `{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}${plain}`
    const { messages: shown } = prepare(refusing, 'gemma')
    expect(shown[0]).toMatchObject({ role: 'user' })
    expect(shown[0]!.content).toMatch(/^You have access to functions[^]*\n\nWeather\?$/)
  })
  it('is cut into one call a message where several are refused', () => {
    const single = full.replace(
      '{% for c in',
      "{% if m.tool_calls and m.tool_calls | length > 1 %}{{ raise_exception('one') }}{% endif %}{% for c in",
    )
    const { messages: shown } = prepare(single, 'llama')
    expect(shown.map(({ role, content }) => `${role}: ${String(content)}`)).toEqual([
      'user: Weather?',
      'assistant: I look.',
      'tool: sun',
      'assistant: ',
      'tool: rain',
      'user: Thanks.',
    ])
  })
  it('is refused with arguments that are no object, where they have to be written', () => {
    const called = { name: 'noop', arguments: '{"a": ' }
    const broken = { role: 'assistant', content: '', tool_calls: [{ function: called }] }
    expect(() => prepare(plain, 'qwen-coder', [messages[0]!, broken])).toThrow(OptionError)
    expect(() => prepare(plain, 'qwen-coder', [messages[0]!, broken])).toThrow('"noop"')
  })
  it('has ids of nine characters for Mistral', () => {
    const { messages: shown } = prepare(full, 'mistral')
    const ids = [shown[2]!['tool_call_id'], shown[3]!['tool_call_id']]
    expect(ids).toEqual(['000000001', '000000000'])
    expect(JSON.stringify(shown[1])).toContain('"id":"000000000"')
  })
})

describe('the format', () => {
  it('follows the template, then the tokens', () => {
    expect(detectToolCallFormat('x').name).toBe('generic')
    expect(detectToolCallFormat(undefined).name).toBe('generic')
    expect(detectToolCallFormat({ default: 'x', tool_use: '<tool_call>' }).name).toBe('hermes')
    expect(detectToolCallFormat('xml_tools python_tools <tool_call>').name).toBe('smollm3')
    expect(detectToolCallFormat('[TOOL_CALLS]').name).toBe('mistral')
    expect(detectToolCallFormat('x', (token) => token === '[ARGS]').name).toBe('mistral-args')
  })
  it('has its own name, and a misspelt one is an error', () => {
    const names = toolCallFormats.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    expect(() => getToolCallFormat('hermez')).toThrow('Did you mean "hermes"?')
  })
})

describe('tools as requests give them', () => {
  it('have three forms', () => {
    const parameters = { type: 'object', properties: {} }
    expect(
      readToolDefinitions([
        { type: 'function', function: { name: 'a', description: 'A', parameters } },
        { name: 'b', input_schema: parameters },
        { name: 'c' },
      ]),
    ).toEqual([
      { name: 'a', description: 'A', parameters },
      { name: 'b', parameters },
      { name: 'c', parameters },
    ])
  })
  it('are refused with every fault named', () => {
    const given = [{ function: { name: 'a b' } }, { name: 'c' }, { name: 'c' }, 3]
    expect(() => readToolDefinitions(given)).toThrow(OptionError)
    expect(() => readToolDefinitions(given)).toThrow(
      /tools\[0\].*"a b".*tools\[3\].*two tools have the name "c"/s,
    )
  })
  it('a choice names a function that exists', () => {
    expect(readToolChoice(undefined, tools)).toBe('auto')
    expect(readToolChoice(undefined, [])).toBe('none')
    expect(readToolChoice('required', tools)).toBe('required')
    const named = { type: 'function', function: { name: 'noop' } }
    expect(readToolChoice(named, tools)).toEqual({ name: 'noop' })
    expect(() => readToolChoice({ name: 'noops' }, tools)).toThrow('Did you mean "noop"?')
    expect(() => readToolChoice('requird', tools)).toThrow('"requird"')
    expect(() => readToolChoice('required', [])).toThrow('no tools')
  })
})

describe('a grammar', () => {
  const hermes = getToolCallFormat('hermes')
  it('is there where calls are demanded', () => {
    expect(describeToolGrammar(hermes, tools, 'none')).toBeUndefined()
    expect(describeToolGrammar(hermes, [], 'auto')).toBeUndefined()
    expect(describeToolGrammar(hermes, tools, 'auto', { oneCall: true })).toMatchObject({
      format: { type: 'triggered_tags', triggers: ['<tool_call>'], stop_after_first: true },
    })
    expect(describeToolGrammar(hermes, tools, 'required')).toMatchObject({
      format: { type: 'tags_with_separator', at_least_one: true, stop_after_first: false },
    })
  })
  it('of a named function holds that one alone, once', () => {
    expect(describeToolGrammar(hermes, tools, { name: 'noop' })).toMatchObject({
      format: {
        tags: [{ begin: expect.stringContaining('noop') as string }],
        stop_after_first: true,
      },
    })
  })
  it('admits a thought before, and a list around', () => {
    expect(describeToolGrammar(hermes, tools, 'required', { reasons: true })).toMatchObject({
      format: { type: 'sequence', elements: [{ elements: [{ begin: '<think>' }, {}] }, {}] },
    })
    expect(describeToolGrammar(getToolCallFormat('mistral'), tools, 'required')).toMatchObject({
      format: { type: 'tag', begin: '[TOOL_CALLS][', end: ']' },
    })
  })
})

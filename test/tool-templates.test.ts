// The chat templates of published models: which format of calls is found, that functions, earlier
// calls and results reach the prompt, and that a call as the template writes it is read again. The
// templates come from a package of the Hugging Face hub's tools.

import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { compileChatTemplate } from '../src/formats/text/chat-template.ts'
import { detectToolCallFormat } from '../src/formats/text/tool-calls/format-table.ts'
import { parseAnswer } from '../src/formats/text/tool-calls/parse-answer.ts'
import { prepareToolChat } from '../src/formats/text/tool-calls/prepare-chat.ts'
import {
  inspectTemplate,
  type ToolChatRenderer,
} from '../src/formats/text/tool-calls/template-support.ts'
import { readToolDefinitions } from '../src/formats/text/tool-calls/tool-definition.ts'

const formats: Record<string, string> = {
  'qwen2.5:0.5b': 'hermes',
  'qwen3:0.6b': 'hermes',
  'qwen3-next:80b': 'hermes',
  'qwen3-coder:30b': 'qwen-coder',
  'granite4:350m': 'hermes',
  'granite3.3:2b': 'granite',
  'llama3.1:8b': 'llama',
  'llama3.2:3b': 'llama',
  'llama4:latest': 'llama',
  'gemma2:2b': 'gemma',
  'gemma3:1b': 'gemma',
  'smollm2:135m': 'generic',
  'phi4-mini:3.8b': 'generic',
  'deepseek-v3.1:latest': 'deepseek-3.1',
  'deepseek-v3:671b': 'deepseek',
  'deepseek-r1:8b': 'deepseek',
}

/** Template by its model's name in the package. */
function readTemplates(): Map<string, string> {
  const file = new URL(
    '../node_modules/@huggingface/ollama-utils/src/chat-template-automap.ts',
    import.meta.url,
  )
  if (!existsSync(file)) return new Map()
  const entries = readFileSync(file, 'utf8').matchAll(
    /model: "library\/([^"]+)",\s*gguf:\s*"((?:[^"\\]|\\.)*)"/gs,
  )
  return new Map(
    [...entries].map(([, model, literal]) => [model!, JSON.parse(`"${literal!}"`) as string]),
  )
}

const templates = readTemplates()
const present = Object.keys(formats).filter((model) => templates.has(model))

const tools = readToolDefinitions([
  {
    type: 'function',
    function: {
      name: 'get_weather',
      description: 'The weather of a city',
      parameters: {
        type: 'object',
        properties: { city: { type: 'string', description: 'A city' }, days: { type: 'integer' } },
        required: ['city'],
      },
    },
  },
])

const call = (id: string, city: string): object => ({
  id,
  type: 'function',
  function: { name: 'get_weather', arguments: `{"city": "${city}", "days": 2}` },
})

const user = { role: 'user', content: 'Weather in Zürich and Rome?' }
const talk = [
  { role: 'system', content: 'Be brief.' },
  user,
  {
    role: 'assistant',
    content: null,
    tool_calls: [call('call_a', 'Zürich'), call('call_b', 'Rome')],
  },
  { role: 'tool', tool_call_id: 'call_a', content: 'sun of Zürich' },
  { role: 'tool', tool_call_id: 'call_b', content: 'rain of Rome' },
  { role: 'assistant', content: 'Sun and rain.' },
  { role: 'user', content: 'And Bern?' },
]

const createRenderer = (template: string): ToolChatRenderer => {
  const render = compileChatTemplate(template)
  return (messages, given) =>
    render(messages, {
      bosToken: '<s>',
      eosToken: '</s>',
      now: new Date(0),
      ...(given && { tools: given }),
    })
}

describe('chat templates of published models', () => {
  it('are there', ({ skip }) => {
    if (templates.size === 0) skip('@huggingface/ollama-utils is not installed')
    expect(present.length).toBeGreaterThanOrEqual(10)
  })

  it.each(present)('%s: its format, functions, calls and results', (model) => {
    const template = templates.get(model)!
    const format = detectToolCallFormat(template)
    expect(format.name).toBe(formats[model])
    const render = createRenderer(template)
    const support = inspectTemplate(render)
    const { takesSystem } = support
    const shown = takesSystem ? talk : talk.slice(1)
    const { messages, tools: given } = prepareToolChat(shown, tools, format, support)
    const text = render(messages, given)
    for (const part of ['get_weather', 'The weather of a city', 'Zürich', 'Rome', 'days'])
      expect(text).toContain(part)
    const order = [
      ...(takesSystem ? ['Be brief.'] : []),
      'sun of Zürich',
      'rain of Rome',
      'Sun and rain.',
      'And Bern?',
    ]
    const places = order.map((part) => text.indexOf(part))
    expect(places.toSorted((a, b) => a - b)).toEqual(places)
    expect(places[0]).toBeGreaterThanOrEqual(0)
  })

  it.each(present)('%s: a call that its template writes is read again', (model) => {
    const template = templates.get(model)!
    const format = detectToolCallFormat(template)
    const render = createRenderer(template)
    const answer = { role: 'assistant', content: '', tool_calls: [call('000000001', 'Zürich')] }
    const { messages } = prepareToolChat([user, answer], tools, format, inspectTemplate(render))
    const text = render(messages)
    // What stands behind the opening of the assistant's turn, up to the end of the turn.
    const turn = text.slice(text.indexOf(user.content) + user.content.length)
    const written = turn.replace(
      /^.*?(?:<｜Assistant｜>(?:<\/think>)?|(?:assistant|model)\b(?:\|>|<\|[\w|]+>)?)\s*/s,
      '',
    )
    const said = written.replace(
      /\s*(?:<\|im_end\|>|<\|eot_id\|>|<\|eot\|>|<\|end\|>|<\|end_of_text\|>|<end_of_turn>|<\|endoftext\|>|<｜end▁of▁sentence｜>)[^]*$/,
      '',
    )
    const { calls, text: rest } = parseAnswer(format, said, { tools })
    expect(calls.map(({ name }) => name)).toEqual(['get_weather'])
    expect(JSON.parse(calls[0]!.arguments)).toEqual({ city: 'Zürich', days: 2 })
    expect(rest.trim()).toBe('')
  })
})

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { FormatError, NotFoundError, OptionError } from '../../base/errors.ts'
import { type ChatMessage, findChatTemplate, renderChat } from './chat-template.ts'
import { formatDate } from './strftime.ts'

interface Case {
  name: string
  template: string
  messages: ChatMessage[]
  tools: object[] | null
  add_generation_prompt: boolean
  variables: Record<string, unknown>
  text: string
}
const { cases } = JSON.parse(
  readFileSync(new URL('../../../test/golden/chats/fixtures.json', import.meta.url), 'utf8'),
) as {
  cases: Case[]
}
const user: ChatMessage[] = [{ role: 'user', content: 'hi' }]

describe('a chat template', () => {
  it.each(cases)(
    'with $name renders as in transformers',
    ({ template, messages, tools, add_generation_prompt, variables, text }) => {
      const options = {
        bosToken: '<s>',
        eosToken: '</s>',
        addGenerationPrompt: add_generation_prompt,
        variables,
        ...(tools && { tools }),
      }
      expect(renderChat(template, messages, options)).toBe(text)
    },
  )

  it('shows the date it is given, and no other date', () => {
    const template = "{{ strftime_now('%d %b %Y') if strftime_now is defined else 'undated' }}"
    expect(renderChat(template, user, { now: new Date(2024, 6, 6) })).toBe('06 Jul 2024')
    expect(renderChat(template, user)).toBe('undated')
    expect(() => renderChat("{{ strftime_now('%Y') }}", user)).toThrow(/pass the option `now`/)
  })

  it('reports what the template says when it refuses, and which roles it was given', () => {
    const template = "{{ raise_exception('roles must alternate') }}"
    expect(() => renderChat(template, [...user, ...user])).toThrow(OptionError)
    expect(() => renderChat(template, [...user, ...user])).toThrow(
      /user, user.*roles must alternate/,
    )
  })

  it('is refused when it is no Jinja', () => {
    expect(() => renderChat('{% for %}', user)).toThrow(FormatError)
  })

  it('is missed with advice', () => {
    expect(() => renderChat(undefined, user)).toThrow(NotFoundError)
    expect(() => renderChat(undefined, user)).toThrow(/has no chat template/)
  })

  it('is found in the file first, then in the config, alone or by the name default', () => {
    expect(findChatTemplate({ chat_template: 'a' }, { jinja: 'b' })).toBe('b')
    expect(findChatTemplate({ chat_template: 'a' })).toBe('a')
    const named = [
      { name: 'tool_use', template: 'c' },
      { name: 'default', template: 'd' },
    ]
    expect(findChatTemplate({ chat_template: named })).toEqual({ tool_use: 'c', default: 'd' })
    expect(findChatTemplate({ chat_template: 'a' }, { jinja: 'b', toolUse: 'e' })).toEqual({
      default: 'b',
      tool_use: 'e',
    })
    expect(findChatTemplate({})).toBeUndefined()
    expect(() => findChatTemplate({ chat_template: [{ name: 'x' }] })).toThrow(/an entry of it/)
  })

  it('of several is the one named tool_use when tools are given, else the one named default', () => {
    const both = { tool_use: 'tools', default: 'plain' }
    expect([renderChat(both, user, { tools: [{}] }), renderChat(both, user)]).toEqual([
      'tools',
      'plain',
    ])
    expect(renderChat({ default: 'plain' }, user, { tools: [{}] })).toBe('plain')
    const named = { tool_use: 'tools', rag: 'found' }
    expect(renderChat(named, user, { tools: [] })).toBe('tools')
    expect(() => renderChat(named, user)).toThrow(/\(rag, tool_use\), but none named default/)
  })

  it('sees messages without keys that are null, and thoughts under both names', () => {
    const thought = { role: 'assistant', content: null, thinking: 'why' }
    const template =
      '{{ messages[0].content is defined }}{{ messages[0].reasoning_content }}{{ messages[0].thinking }}'
    expect(renderChat(template, [thought])).toBe('Falsewhywhy')
  })

  it('names the line of what is no Jinja', () => {
    expect(() => renderChat('a\n{% endif %}', user)).toThrow(/line 2: there is no tag "endif"/)
  })
})

describe('strftime', () => {
  it("writes what Python's does", () => {
    const morning = new Date(2025, 0, 9, 7, 4, 5) // a Thursday
    expect(formatDate(morning, '%Y-%m-%d %H:%M:%S %A %a %B %b %j %y %I %p %% %-d %-j %q')).toBe(
      '2025-01-09 07:04:05 Thursday Thu January Jan 009 25 07 AM % 9 9 %q',
    )
    expect(formatDate(new Date(2024, 11, 31, 12), '%j %I %p')).toBe('366 12 PM')
  })
})

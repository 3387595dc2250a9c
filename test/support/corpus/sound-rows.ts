// Sound rows of every format, and odd values that rows of people hold. Independent of the code that
// reads them.

export const user = { role: 'user', content: 'alpha' }
const assistant = { role: 'assistant', content: 'beta' }
export const call = {
  id: 'c1',
  type: 'function',
  function: { name: 'look', arguments: { place: 'here', size: 12 } },
}
const tool = {
  type: 'function',
  function: { name: 'look', description: 'sees', parameters: { type: 'object', properties: {} } },
}

const bareTool = {
  name: 'look',
  description: 'sees',
  parameters: { type: 'object', properties: {} },
}
const spoken = (text: string) => [{ type: 'text', text }]

/** Sound rows by the name of their format. */
export const soundRows: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['messages', { messages: [{ role: 'system', content: 'rules' }, user, assistant] }],
  ['messages', { messages: [user, assistant, { ...user, content: 'gamma' }, assistant] }],
  [
    'messages',
    {
      messages: [
        user,
        { role: 'assistant', content: '', tool_calls: [call] },
        { role: 'tool', tool_call_id: 'c1', content: 'seen' },
        assistant,
      ],
      tools: [tool],
    },
  ],
  [
    'messages',
    {
      system: 'rules',
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'alpha' }] },
        {
          role: 'assistant',
          content: [
            { type: 'text', text: 'beta' },
            { type: 'tool_use', id: 'c1', name: 'look', input: { place: 'here' } },
          ],
        },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c1', content: 'seen' }] },
        assistant,
      ],
    },
  ],
  [
    'sharegpt',
    {
      conversations: [
        { from: 'human', value: 'alpha' },
        { from: 'gpt', value: 'beta' },
      ],
      system: 'rules',
    },
  ],
  ['prompt-completion', { prompt: 'alpha', completion: 'beta', system: 'rules' }],
  ['prompt-completion', { prompt: [user], completion: [assistant], weight: 0.5 }],
  ['judged', { prompt: 'alpha', completion: 'beta', label: true }],
  ['preference', { prompt: 'alpha', chosen: 'beta', rejected: 'gamma' }],
  [
    'preference',
    { prompt: [user], chosen: [assistant], rejected: [{ role: 'assistant', content: 'gamma' }] },
  ],
  ['instruction', { instruction: 'alpha', input: 'delta', output: 'beta' }],
  [
    'instruction',
    { instruction: 'alpha', output: 'beta', system: 'rules', history: [['gamma', 'delta']] },
  ],
  ['text', { text: 'alpha beta' }],
  [
    'messages',
    {
      messages: [
        user,
        {
          role: 'assistant',
          content: null,
          function_call: { name: 'look', arguments: '{"place": "here"}' },
        },
        { role: 'function', name: 'look', content: 'seen' },
        assistant,
      ],
      functions: [bareTool],
    },
  ],
  ['messages', { messages: [{ role: 'developer', content: 'rules' }, user, assistant] }],
  [
    'messages',
    {
      messages: [
        { role: 'user', content: spoken('alpha') },
        { role: 'assistant', content: spoken('beta') },
      ],
    },
  ],
  [
    'messages',
    { messages: [user, { ...assistant, weight: 0 }, { ...user, content: 'gamma' }, assistant] },
  ],
  [
    'messages',
    {
      messages: [user, assistant],
      tools: [{ name: 'look', description: 'sees', input_schema: { type: 'object' } }],
    },
  ],
  [
    'messages',
    {
      messages: [
        user,
        { role: 'assistant', content: '', reasoning_content: 'delta', tool_calls: [call] },
        { role: 'tool', name: 'look', tool_call_id: 'c1', content: 'seen' },
        assistant,
      ],
      tools: JSON.stringify([tool]),
    },
  ],
  [
    'sharegpt',
    {
      conversations: [
        { from: 'system', value: 'rules' },
        { from: 'human', value: 'alpha' },
        { from: 'function_call', value: '{"name": "look", "arguments": {"place": "here"}}' },
        { from: 'observation', value: 'seen' },
        { from: 'gpt', value: 'beta' },
      ],
      tools: JSON.stringify([bareTool]),
    },
  ],
  [
    'sharegpt',
    {
      conversations: [
        { from: 'user', value: 'alpha' },
        { from: 'assistant', value: 'beta' },
      ],
    },
  ],
  ['prompt-completion', { prompt: 'alpha', completion: ' beta' }],
  ['prompt-completion', { prompt: [user], completion: [assistant], tools: JSON.stringify([tool]) }],
  ['judged', { prompt: [user], completion: [assistant], label: false }],
  [
    'preference',
    { chosen: [user, assistant], rejected: [user, { role: 'assistant', content: 'gamma' }] },
  ],
]

/** Keys that people's rows hold, names of Object's own members among them. */
export const oddKeys = [
  ...['name', 'id', 'images', 'image', 'audio', 'weight', 'quality', 'train', 'training', 'loss'],
  ...['system', 'tools', 'functions', 'history', 'labels', 'input_ids', 'attention_mask', 'label'],
  ...['metadata', 'category', 'source', 'score', 'reasoning', 'reasoning_content', 'thinking'],
  ...['tool_calls', 'function_call', 'tool_call_id', 'cache_control', 'citations', 'refusal'],
  ...['documents', 'chat_template', 'chat_template_kwargs', 'kto_tag', 'prefix', 'text', 'input'],
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', ' ', 'ключ', '🔑', 'a.b', '0'],
  ...['__index_level_0__', 'url', 'date', 'content', 'value', 'response', 'answer', 'question'],
]

export const oddTexts = [
  ...['😀👩‍👩‍👧', 'مرحبا بالعالم', 'e\u0301\u0323', '\u0000', '\ufeff', '\u200b\u200d', '\u2028'],
  ...['<|im_end|>', '<s>', '{{ messages }}', '{% raw %}', '\\u0041', '</script>', '\'"`$'],
  ...['\ud83d', 'x\udc00y', '\r\n', '\t', '𝕏', 'ﷺ', '\u001b[31m', 'NaN', 'null', '[object Object]'],
]

/** Numbers as files hold them, and as Python's json module prints them again. */
export const oddNumbers: readonly (readonly [string, string])[] = [
  ['2512292042121000001', '2512292042121000001'],
  ['123456789012345678901234567890', '123456789012345678901234567890'],
  ['-9223372036854775809', '-9223372036854775809'],
  ['1.0', '1.0'],
  ['1E+2', '100.0'],
  ['1e-400', '0.0'],
  ['0.1000000000000000055511151231257827', '0.1'],
  ['0.30000000000000004', '0.30000000000000004'],
  ['1e400', 'Infinity'],
  ['-1e999', '-Infinity'],
  [`1${'0'.repeat(400)}`, `1${'0'.repeat(400)}`],
  ['-0', '0'],
  ['-0.0', '-0.0'],
]

export const nothings: readonly unknown[] = [null, [], '']

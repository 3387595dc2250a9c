import { describe } from 'vitest'
import { getToolCallFormat, toolCallFormats } from './format-table.ts'
import { type AnswerCase, describeToolCallFormat } from './tool-call-format.contract.ts'

const weather = 'get_weather'
const oslo = '{"city": "Oslo"}'

const hermesCases: AnswerCase[] = [
  {
    about: 'a call with text around it',
    answer: `I look.\n<tool_call>\n{"name": "${weather}", "arguments": ${oslo}}\n</tool_call>\nDone.`,
    text: 'I look.Done.',
    calls: [[weather, oslo]],
  },
  {
    about: 'calls in parallel, keys in any order, text between dropped space only',
    answer: `<tool_call>{"arguments": ${oslo}, "name": "${weather}"}</tool_call>\n<tool_call>{"name": "noop"}</tool_call>`,
    calls: [
      [weather, oslo],
      ['noop', '{}'],
    ],
  },
  {
    about: 'markers, braces and escapes inside of strings; numbers as written',
    answer: `<tool_call>{"name": "${weather}", "arguments": {"city": "a</tool_call>}\\"{\\\\", "days": 1.50e+3, "where": {"lat": -0.10, "deep": [[{}], []]}}}</tool_call>`,
    calls: [
      [
        weather,
        '{"city": "a</tool_call>}\\"{\\\\", "days": 1.50e+3, "where": {"lat": -0.10, "deep": [[{}], []]}}',
      ],
    ],
  },
  {
    about: 'reasoning, then a call',
    answer: `<think>\nOslo? <tool_call>{"name": "noop"}</tool_call>\n</think>\n\nWell 😀\n<tool_call>\n{"name": "${weather}", "arguments": {"city": "Zürich 😀"}}\n</tool_call>`,
    reasoning: 'Oslo? <tool_call>{"name": "noop"}</tool_call>',
    text: 'Well 😀',
    calls: [[weather, '{"city": "Zürich 😀"}']],
  },
  {
    about: 'reasoning that the prompt began',
    answer: 'So.\n</think>\n\nHi',
    inReasoning: true,
    reasoning: 'So.',
    text: 'Hi',
  },
  {
    about: 'a malformed call, then a sound one',
    answer: `a <tool_call>{"name": oops}</tool_call> b <tool_call>{"name": "noop", "arguments": {}}</tool_call>`,
    text: 'a <tool_call>{"name": oops}</tool_call> b',
    calls: [['noop', '{}']],
  },
  {
    about: 'a call that turns out malformed after its name',
    answer: `<tool_call>{"name": "noop", "arguments": {"a": }}</tool_call> b`,
    text: '<tool_call>{"name": "noop", "arguments": {"a": }}</tool_call> b',
  },
  {
    about: 'a list, a missing end marker, arguments as text, slips in JSON',
    answer: `<tool_call>[{"name": "noop", "arguments": null}, {"name": "${weather}", "arguments": "{\\"city\\": \\"x\\"}"}, {"name": "${weather}", "arguments": {"city": "a\nb\\'\\d", "exact": True}}]`,
    calls: [
      ['noop', '{}'],
      [weather, '{"city": "x"}'],
      [weather, '{"city": "a\\nb\'\\\\d", "exact": true}'],
    ],
  },
]

const xml = (body: string): string =>
  `<tool_call>\n<function=${weather}>\n${body}</function>\n</tool_call>`
const parameter = (key: string, value: string): string =>
  `<parameter=${key}>\n${value}\n</parameter>\n`

const cases: Record<string, AnswerCase[]> = {
  hermes: hermesCases,
  smollm3: [
    ...hermesCases,
    {
      about: "calls in Python's notation",
      answer: `Let me see.\n<code>\n${weather}(city="Oslo", days=2)\nnoop()\n</code>`,
      text: 'Let me see.',
      calls: [
        [weather, '{"city": "Oslo", "days": 2}'],
        ['noop', '{}'],
      ],
    },
    {
      about: 'a program that is more than calls',
      answer: `<code>\nx = ${weather}(city="Oslo")\nprint(x)\n</code>`,
      text: `<code>\nx = ${weather}(city="Oslo")\nprint(x)\n</code>`,
    },
  ],
  lfm2: [
    {
      about: "calls in Python's notation, then text",
      answer: `<|tool_call_start|>[${weather}(city="Oslo", days=2, exact=True, where={'lat': 1.0}), noop()]<|tool_call_end|>I look.`,
      text: 'I look.',
      calls: [
        [weather, '{"city": "Oslo", "days": 2, "exact": true, "where": {"lat": 1.0}}'],
        ['noop', '{}'],
      ],
    },
    {
      about: 'calls in JSON, without an end',
      answer: `I look. <|tool_call_start|>[{"name": "${weather}", "arguments": ${oslo}}, {"name": "noop", "arguments": {}}]`,
      text: 'I look.',
      calls: [
        [weather, oslo],
        ['noop', '{}'],
      ],
    },
    {
      about: 'a function that there is not',
      answer: `<|tool_call_start|>[other(city="Oslo")]<|tool_call_end|>`,
      text: `<|tool_call_start|>[other(city="Oslo")]<|tool_call_end|>`,
    },
  ],
  'qwen-coder': [
    {
      about: 'parameters by the types of their schema',
      answer: `I look.\n\n${xml(
        parameter('city', 'Oslo "x"\n</parameter> <b>\n') +
          parameter('days', '007.50'.slice(2)) +
          parameter('where', '{"lat": 1.0}') +
          parameter('exact', 'True') +
          parameter('other', '12'),
      )}`,
      text: 'I look.',
      calls: [
        [
          weather,
          '{"city": "Oslo \\"x\\"\\n</parameter> <b>\\n", "days": 7.50, "where": {"lat": 1.0}, "exact": true, "other": "12"}',
        ],
      ],
    },
    {
      about: 'two calls, one without its outer marker',
      answer: `<function=noop>\n</function>\n</tool_call>\n${xml(parameter('city', 'Oslo'))}\nend`,
      text: 'end',
      calls: [
        ['noop', '{}'],
        [weather, '{"city": "Oslo"}'],
      ],
    },
    {
      about: 'a value that is not of its type stays text',
      answer: xml(parameter('days', 'two')),
      calls: [[weather, '{"days": "two"}']],
    },
    {
      about: 'JSON between the markers',
      answer: `<tool_call>{"name": "${weather}", "arguments": ${oslo}}</tool_call>`,
      calls: [[weather, oslo]],
    },
    {
      about: 'a call without an end',
      answer: `<tool_call>\n<function=${weather}>\n<parameter=city>\nOslo`,
      text: `<tool_call>\n<function=${weather}>\n<parameter=city>\nOslo`,
    },
  ],
  llama: [
    {
      about: 'a bare object',
      answer: `{"name": "${weather}", "parameters": ${oslo}}`,
      calls: [[weather, oslo]],
    },
    {
      about: 'objects with a semicolon between, one behind the tag',
      answer: `<|python_tag|>{"name": "${weather}", "parameters": ${oslo}}; {"type": "function", "name": "noop", "parameters": {}}`,
      calls: [
        [weather, oslo],
        ['noop', '{}'],
      ],
    },
    {
      about: 'an object that names no function of ours is text',
      answer: '{"name": "Ada", "parameters": {"born": 1815}}',
      text: '{"name": "Ada", "parameters": {"born": 1815}}',
    },
    {
      about: "a built-in tool's call",
      answer: `<|python_tag|>${weather}.call(city="Oslo")`,
      calls: [[weather, '{"city": "Oslo"}']],
    },
    {
      about: 'code for an interpreter',
      tools: [{ name: 'code_interpreter', parameters: { type: 'object' } }],
      answer: '<|python_tag|>print("a\\n")\nx = 1',
      calls: [['code_interpreter', '{"code": "print(\\"a\\\\n\\")\\nx = 1"}']],
    },
    {
      about: "Llama 4's markers",
      answer: `<|python_start|><|python_end|>{"name": "noop", "parameters": {}}<|python_start|>[${weather}(city="Oslo")]<|python_end|>`,
      calls: [
        ['noop', '{}'],
        [weather, oslo],
      ],
    },
    {
      about: 'the tag of a function',
      answer: `Hm. <function=${weather}>${oslo}</function>`,
      text: 'Hm.',
      calls: [[weather, oslo]],
    },
  ],
  granite: [
    {
      about: 'a list behind the marker',
      answer: `<think>Hm.</think>Well.<|tool_call|>[{"name": "${weather}", "arguments": ${oslo}}, {"name": "noop", "arguments": {}}]<|/tool_call|>`,
      reasoning: 'Hm.',
      text: 'Well.',
      calls: [
        [weather, oslo],
        ['noop', '{}'],
      ],
    },
  ],
  mistral: [
    {
      about: 'a list of calls with ids',
      answer: `[TOOL_CALLS][{"name": "${weather}", "arguments": ${oslo}, "id": "abcdefghi"}, {"name": "noop", "arguments": {}}]`,
      calls: [
        [weather, oslo],
        ['noop', '{}'],
      ],
    },
    {
      about: 'a list that breaks off',
      answer: `[TOOL_CALLS] [{"name": "${weather}", "arguments": ${oslo}}, {"name": "noop", x`,
      text: ', {"name": "noop", x',
      calls: [[weather, oslo]],
    },
  ],
  'mistral-args': [
    {
      about: 'names with arguments, reasoning before',
      answer: `[THINK]Hm.[/THINK]I look.[TOOL_CALLS]${weather}[CALL_ID]abc[ARGS]${oslo}[TOOL_CALLS]noop{}`,
      reasoning: 'Hm.',
      text: 'I look.',
      calls: [
        [weather, oslo],
        ['noop', '{}'],
      ],
    },
    {
      about: 'a name without arguments',
      answer: `[TOOL_CALLS]${weather} of Oslo`,
      text: `[TOOL_CALLS]${weather} of Oslo`,
    },
  ],
  gemma: [
    {
      about: "a fence with Python's notation",
      answer: `Sure:\n\`\`\`tool_code\nprint(${weather}('Oslo', days=1_000, where={'lat': -1.5,}, tags=['a', "b\\u00fc"], exact=True))\n\`\`\`\nok`,
      text: 'Sure:ok',
      calls: [
        [
          weather,
          '{"city": "Oslo", "days": 1000, "where": {"lat": -1.5}, "tags": ["a", "bü"], "exact": true}',
        ],
      ],
    },
    {
      about: 'a bare list of calls',
      answer: `[${weather}(city="Oslo"), noop()]`,
      calls: [
        [weather, '{"city": "Oslo"}'],
        ['noop', '{}'],
      ],
    },
    {
      about: 'JSON, bare and in a fence',
      answer: `{"name": "noop", "parameters": {}}\n\`\`\`json\n[{"name": "${weather}", "parameters": ${oslo}}]\n\`\`\``,
      calls: [
        ['noop', '{}'],
        [weather, oslo],
      ],
    },
  ],
  'function-gemma': [
    {
      about: 'texts between delimiters, where signs mean nothing',
      answer: `Ok.<start_function_call>call:${weather}{city:<escape>a}{,"<end_function_call>\n<escape>,days:3,where:{lat:1.50},tags:[<escape>x<escape>,<escape>y<escape>],exact:true,units:metric}<end_function_call><start_function_call>call:noop{}<end_function_call>`,
      text: 'Ok.',
      calls: [
        [
          weather,
          '{"city": "a}{,\\"<end_function_call>\\n", "days": 3, "where": {"lat": 1.50}, "tags": ["x", "y"], "exact": true, "units": "metric"}',
        ],
        ['noop', '{}'],
      ],
    },
  ],
  'gemma-4': [
    {
      about: 'a thought and two calls',
      answer: `<|channel>thought\nHm.<channel|><|tool_call>call:${weather}{city:<|"|>Zürich<|"|>,days:2}<tool_call|><|tool_call>call:noop{}<tool_call|>`,
      reasoning: 'Hm.',
      calls: [
        [weather, '{"city": "Zürich", "days": 2}'],
        ['noop', '{}'],
      ],
    },
  ],
  deepseek: [
    {
      about: 'calls in fences behind a thought and a text',
      answer: `<think>\nOslo.\n</think>\n\nI look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>${weather}\n\`\`\`json\n${oslo}\n\`\`\`<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>noop\n\`\`\`json\n{}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
      reasoning: 'Oslo.',
      text: 'I look.',
      calls: [
        [weather, oslo],
        ['noop', '{}'],
      ],
    },
    {
      about: 'a call without its outer markers, marks inside of a string',
      answer: `a <｜tool▁call▁begin｜>function<｜tool▁sep｜>${weather}\n\`\`\`json\n{"city": "\`\`\`<｜tool▁call▁end｜>", "days": 1.50}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜> b`,
      text: 'ab',
      calls: [[weather, '{"city": "```<｜tool▁call▁end｜>", "days": 1.50}']],
    },
    {
      about: 'what has a marker and no call',
      answer: 'The token <｜tool▁calls▁begin｜> opens calls.',
      text: 'The token <｜tool▁calls▁begin｜> opens calls.',
    },
  ],
  'deepseek-3.1': [
    {
      about: 'calls by name before the separator',
      answer: `I look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>${weather}<｜tool▁sep｜>${oslo}<｜tool▁call▁end｜><｜tool▁call▁begin｜>noop<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
      text: 'I look.',
      calls: [
        [weather, oslo],
        ['noop', '{}'],
      ],
    },
    {
      about: 'reasoning that the prompt began, then a call',
      answer: `Oslo.</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>${weather}<｜tool▁sep｜>${oslo}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
      inReasoning: true,
      reasoning: 'Oslo.',
      calls: [[weather, oslo]],
    },
  ],
  'deepseek-3.2': [
    {
      about: 'texts as they are, others as JSON',
      answer: `I look.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name="${weather}">\n<｜DSML｜parameter name="city" string="true">a "b"\n</c> 😀</｜DSML｜parameter>\n<｜DSML｜parameter name="days" string="false">7.50</｜DSML｜parameter>\n<｜DSML｜parameter name="where" string="false">{"lat": 1.0}</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name="noop">\n</｜DSML｜invoke>\n</｜DSML｜function_calls>`,
      text: 'I look.',
      calls: [
        [weather, '{"city": "a \\"b\\"\\n</c> 😀", "days": 7.50, "where": {"lat": 1.0}}'],
        ['noop', '{}'],
      ],
    },
    {
      about: 'reasoning that the prompt began; a value that is not JSON after all',
      answer: `Hm.</think>\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name="${weather}">\n<｜DSML｜parameter name="city" string="false">Oslo</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>`,
      inReasoning: true,
      reasoning: 'Hm.',
      calls: [[weather, oslo]],
    },
    {
      about: 'a call that has no end',
      answer: `<｜DSML｜function_calls>\n<｜DSML｜invoke name="noop">\nno`,
      text: `<｜DSML｜function_calls>\n<｜DSML｜invoke name="noop">\nno`,
    },
  ],
  glm: [
    {
      about: 'arguments by the types of their schema, and a call without any',
      answer: `<think>Oslo.</think>\nI look.\n<tool_call>${weather}\n<arg_key>city</arg_key>\n<arg_value>a "b"\n<c></arg_value>\n<arg_key>days</arg_key>\n<arg_value>7.50</arg_value>\n<arg_key>tags</arg_key>\n<arg_value>["x"]</arg_value>\n<arg_key>exact</arg_key>\n<arg_value>True</arg_value>\n<arg_key>other</arg_key>\n<arg_value>12</arg_value>\n</tool_call>\n<tool_call>noop\n</tool_call>`,
      reasoning: 'Oslo.',
      text: 'I look.',
      calls: [
        [
          weather,
          '{"city": "a \\"b\\"\\n<c>", "days": 7.50, "tags": ["x"], "exact": true, "other": "12"}',
        ],
        ['noop', '{}'],
      ],
    },
    {
      about: 'tags side by side, and JSON in their place',
      answer: `<tool_call>${weather}<arg_key>city</arg_key><arg_value>Oslo</arg_value></tool_call><tool_call>{"name": "noop", "arguments": {}}</tool_call>`,
      calls: [
        [weather, oslo],
        ['noop', '{}'],
      ],
    },
    {
      about: 'a value that breaks off',
      answer: `<tool_call>${weather}\n<arg_key>city</arg_key>\n<arg_value>Os`,
      text: `<tool_call>${weather}\n<arg_key>city</arg_key>\n<arg_value>Os`,
    },
  ],
  harmony: [
    {
      about: 'a thought, then the answer',
      answer:
        '<|channel|>analysis<|message|>Hm 😀.<|end|><|start|>assistant<|channel|>final<|message|>Hi <b>.',
      reasoning: 'Hm 😀.',
      text: 'Hi <b>.',
    },
    {
      about: 'a thought, a plan that the user sees, a call, a second thought and the answer',
      answer: `<|channel|>analysis<|message|>Oslo.<|end|><|start|>assistant<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>commentary to=functions.${weather} <|constrain|>json<|message|>${oslo}<|call|><|start|>assistant<|channel|>analysis<|message|>Cold.<|end|><|start|>assistant<|channel|>final<|message|>Cold!<|return|>`,
      reasoning: 'Oslo.Cold.',
      text: 'I look.Cold!',
      calls: [[weather, oslo]],
    },
    {
      about: 'a call right away, whose header has another order',
      answer: ` to=functions.${weather}<|channel|>commentary json<|message|>{"city": "<|call|>"}`,
      calls: [[weather, '{"city": "<|call|>"}']],
    },
    {
      about: 'two calls, without constraint and in the wrong channel',
      answer: `<|channel|>commentary to=functions.noop<|message|>{}<|call|><|start|>assistant<|channel|>analysis to=functions.${weather} code<|message|>${oslo}<|call|>`,
      reasoning: '',
      calls: [
        ['noop', '{}'],
        [weather, oslo],
      ],
    },
    {
      about: 'a message to a function that is not JSON',
      answer: '<|channel|>commentary to=functions.noop <|constrain|>json<|message|>nothing',
      text: '<|channel|>commentary to=functions.noop <|constrain|>json<|message|>nothing',
    },
  ],
  generic: [
    {
      about: 'an object in a wrapper',
      answer: `{"tool_calls": [{"name": "${weather}", "arguments": ${oslo}}, {"function": {"name": "noop", "arguments": "{}"}}]}`,
      calls: [
        [weather, oslo],
        ['noop', '{}'],
      ],
    },
    {
      about: 'a fence behind a thought and a text',
      answer: `<think>\nHm.\n</think>\nI look:\n\`\`\`json\n{"name": "${weather}", "arguments": ${oslo}}\n\`\`\``,
      reasoning: 'Hm.',
      text: 'I look:',
      calls: [[weather, oslo]],
    },
    {
      about: 'two objects one after the other',
      answer: `{"name": "noop", "arguments": {}}\n{"name": "${weather}", "parameters": ${oslo}}`,
      calls: [
        ['noop', '{}'],
        [weather, oslo],
      ],
    },
  ],
}

describe.each(toolCallFormats.map(({ name }) => name))('%s', (name) => {
  describeToolCallFormat(getToolCallFormat(name), cases[name]!)
})

// gpt-oss: messages in channels. <|channel|>analysis<|message|>… is reasoning,
// <|channel|>commentary to=functions.f <|constrain|>json<|message|>{…}<|call|> a call, and
// <|channel|>final<|message|>… the answer; between messages is <|end|><|start|>assistant.

import {
  type CallInput,
  dropSpace,
  lookAhead,
  MalformedCall,
  takeText,
  takeWhile,
} from '../reading/call-input.ts'
import type { CallSink } from '../reading/call-sink.ts'
import { readJson, takeName } from '../reading/json-reader.ts'
import type { ToolCallFormat } from '../tool-call-format.ts'
import { listFunctions, toArgumentSchema } from './json-form.ts'

const START = '<|start|>assistant'
const CHANNEL = '<|channel|>'
const CONSTRAIN = '<|constrain|>'
const MESSAGE = '<|message|>'
const END = '<|end|>'
const CALL = '<|call|>'
const TO = 'to=functions.'
const OPEN = `${CHANNEL}commentary ${TO}`

/** What follows `to=functions.`: a name, the rest of the header, and the arguments. */
function* readCall(input: CallInput, sink: CallSink): Generator<void, void> {
  const name = yield* takeName(input)
  if (name === '') throw new MalformedCall('a call without a name')
  while (!(yield* takeText(input, MESSAGE))) {
    if (yield* takeText(input, CHANNEL)) continue
    if (yield* takeText(input, CONSTRAIN)) continue
    const words = yield* takeWhile(input, (character) => /[\w \n.=-]/.test(character))
    if (words === '') throw new MalformedCall('a call without a message')
  }
  yield* dropSpace(input)
  if ((yield* lookAhead(input)) !== '{') throw new MalformedCall('expected an object')
  sink.start(name)
  yield* readJson(input, (text) => sink.append(text))
  sink.end()
  yield* dropSpace(input)
  yield* takeText(input, CALL)
}

const formatHeader = (name: string): string => `${OPEN}${name} ${CONSTRAIN}json${MESSAGE}`

export const harmony: ToolCallFormat = {
  name: 'harmony',
  models: 'gpt-oss',
  isUsedBy: ({ template, hasToken }) =>
    (template.includes(CHANNEL) && template.includes(MESSAGE)) || hasToken(CONSTRAIN),
  reasoning: [{ open: `${CHANNEL}analysis${MESSAGE}`, close: END, behind: START }],
  createOpeners: () => [
    { marker: OPEN, read: readCall },
    { marker: `${CHANNEL}analysis ${TO}`, read: readCall },
    { marker: `${START} ${TO}`, read: readCall },
    // behind a prompt that ends with `<|start|>assistant`
    {
      marker: TO,
      isBare: true,
      *read(input, sink) {
        yield* takeText(input, TO)
        yield* readCall(input, sink)
      },
    },
  ],
  closers: [CALL, END],
  frames: [
    START,
    `${CHANNEL}final ${CONSTRAIN}json${MESSAGE}`,
    `${CHANNEL}final${MESSAGE}`,
    `${CHANNEL}commentary${MESSAGE}`,
    END,
    '<|return|>',
  ],
  markers: ['<|start|>', CHANNEL, CONSTRAIN, MESSAGE, END, CALL, '<|return|>'],
  describeTools: (tools) =>
    `# Tools

Calls to these functions go to the commentary channel, as 'functions.<name>':
${listFunctions(tools)}`,
  formatCalls: (calls) =>
    calls.map((call) => `${formatHeader(call.name)}${call.arguments}${CALL}`).join(START),
  formatResult: (result, name) =>
    name === undefined ? result : `functions.${name} returned:\n${result}`,
  describeCalls: (tools) => ({
    triggers: [OPEN],
    // The model ends its turn with the token of a call.
    tags: tools.map((tool) => ({
      type: 'tag',
      begin: formatHeader(tool.name),
      content: { type: 'json_schema', json_schema: toArgumentSchema(tool) },
      end: '',
    })),
    separator: `${CALL}${START}`,
  }),
}

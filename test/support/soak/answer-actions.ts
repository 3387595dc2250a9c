// Requests for answers, as many clients would send them: every API, whole and streamed, with and
// without an expert, some of them left by their client.

import type { SoakAction } from './actions.ts'
import type { SendOptions, SoakClient } from './client.ts'

/** Always loaded: the base, one expert that stays, one that is replaced in place, one published. */
const steadyModels = ['stories260k', 'coder', 'swapped', 'coder:0.5+swapped:0.5', 'published']
/** Loaded and unloaded at any moment. */
export const passingModels = ['passing-1', 'passing-2', 'passing-3']
const texts = ['Once upon a time', 'Lily saw a cat.', 'The dog is called', 'äöü ✓ 😀', 'One day']
export const users = ['ada', 'eve', 'joe', 'kim']

const tool = {
  name: 'find',
  parameters: {
    type: 'object',
    properties: { of: { enum: ['cat', 'dog'] } },
    required: ['of'],
    additionalProperties: false,
  },
}
const schema = { type: 'object', properties: { a: { enum: [1, 2] } }, required: ['a'] }
const messages = (client: SoakClient): object[] => [{ role: 'user', content: client.pick(texts) }]

/** A model, and what may be answered where it names an expert that comes and goes. */
function chooseModel(client: SoakClient): { model: string; options: SendOptions } {
  const leavesAfterMs = client.random.integer(4) === 0 ? client.random.integer(150) : undefined
  return client.random.integer(4) === 0
    ? { model: client.pick(passingModels), options: { allowed: [200, 404], leavesAfterMs } }
    : { model: client.pick(steadyModels), options: { leavesAfterMs } }
}

const ends = {
  openai: /^data: \[DONE\]$/,
  responses: /"type":"response\.(completed|incomplete)"/,
  messages: /"type":"message_stop"/,
  lines: /"done":true/,
  llama: /"stop":true/,
}

const fill = (client: SoakClient): object => {
  const choices = [
    {},
    { temperature: 0 },
    { n: 2, seed: 5 },
    { stop: ['.', 'cat'] },
    { logprobs: true, top_logprobs: 2 },
    { response_format: { type: 'json_schema', json_schema: { name: 'a', schema } } },
    { tools: [{ type: 'function', function: tool }], tool_choice: 'required' },
    { tools: [{ type: 'function', function: tool }], tool_choice: 'auto' },
  ]
  return client.pick(choices)
}

async function askChat(client: SoakClient): Promise<void> {
  const { model, options } = chooseModel(client)
  const body = { model, messages: messages(client), max_tokens: 1 + client.random.integer(24) }
  const more = fill(client)
  if (client.random.integer(2) === 0)
    await client.send('/v1/chat/completions', { ...body, ...more }, options)
  else
    await client.stream(
      '/v1/chat/completions',
      { ...body, ...more, stream: true },
      ends.openai,
      options,
    )
}

async function askCompletions(client: SoakClient): Promise<void> {
  const { model, options } = chooseModel(client)
  const prompt = client.pick<unknown>([client.pick(texts), [1, 403, 407], texts.slice(0, 3)])
  const body = { model, prompt, max_tokens: 1 + client.random.integer(32) }
  if (client.random.integer(2) === 0)
    await client.send('/v1/completions', { ...body, echo: true, logprobs: 1 }, options)
  else await client.stream('/v1/completions', { ...body, stream: true }, ends.openai, options)
}

async function askOtherApis(client: SoakClient): Promise<void> {
  const { model, options } = chooseModel(client)
  const stream = client.random.integer(2) === 0
  const chat = { model, messages: messages(client), stream }
  const responses = { model, input: client.pick(texts), max_output_tokens: 12, stream }
  const choices: readonly [string, object, RegExp][] = [
    ['/v1/responses', responses, ends.responses],
    ['/v1/messages', { ...chat, max_tokens: 12 }, ends.messages],
    ['/api/chat', { ...chat, options: { num_predict: 12 } }, ends.lines],
    [
      '/api/generate',
      { model, prompt: client.pick(texts), stream, options: { num_predict: 8 } },
      ends.lines,
    ],
    ['/completion', { prompt: client.pick(texts), n_predict: 8, stream }, ends.llama],
  ]
  const [path, body, end] = client.pick(choices)
  await (stream ? client.stream(path, body, end, options) : client.send(path, body, options))
}

async function askVectors(client: SoakClient): Promise<void> {
  const { model, options } = chooseModel(client)
  await client.send('/v1/embeddings', { model, input: texts }, options)
  await client.send('/tokenize', { prompt: client.pick(texts) })
}

/** A user's answer, whose response may get feedback. */
async function askAsUser(client: SoakClient): Promise<void> {
  const user = client.pick(users)
  const model = client.pick(['stories260k', 'coder', 'swapped'])
  const body = { model, user, prompt: client.pick(texts), max_tokens: 8 }
  const answer = await client.send('/v1/completions', body)
  if (answer) client.responses.push({ id: answer.body.id, user })
  if (client.responses.length > 50) client.responses.shift()
}

export const answerActions: readonly SoakAction[] = [
  { name: 'chat', weight: 30, run: askChat },
  { name: 'completions', weight: 20, run: askCompletions },
  { name: 'other APIs', weight: 20, run: askOtherApis },
  { name: 'vectors', weight: 8, run: askVectors },
  { name: 'answers to users', weight: 8, run: askAsUser },
]

// OpenAI's client at graft serve. In your own folder:
//
//     graft serve stories260k & npm install openai && node openai.mjs
//
// GRAFT_URL names another server, GRAFT_KEY a key, GRAFT_MODEL the model: the base or an expert.

import OpenAI from 'openai'

const {
  GRAFT_URL: baseURL = 'http://127.0.0.1:8080/v1',
  GRAFT_KEY: apiKey = 'none',
  GRAFT_MODEL: model = 'base',
} = process.env
const client = new OpenAI({ baseURL, apiKey })

const { data } = await client.models.list()
console.log('models:', data.map(({ id }) => id).join(', '))

// Whole, and with the user's name: a server with --learn answers under that user's tiers.
const messages = [{ role: 'user', content: 'Tell me a story about a dog.' }]
const whole = await client.chat.completions.create({ model, messages, max_tokens: 24, user: 'ada' })
console.log('whole:', whole.choices[0].message.content)

// As it is written.
const stream = await client.chat.completions.create({
  model,
  messages,
  max_tokens: 24,
  stream: true,
  stream_options: { include_usage: true },
})
process.stdout.write('stream: ')
for await (const { choices, usage } of stream) {
  process.stdout.write(choices[0]?.delta.content ?? '')
  if (usage) console.log(`\n${usage.completion_tokens} tokens`)
}

// An answer of a form.
const schema = { type: 'object', properties: { colour: { enum: ['red', 'blue'] } } }
const object = await client.chat.completions.create({
  model,
  messages: [{ role: 'user', content: 'What colour is the ball?' }],
  response_format: {
    type: 'json_schema',
    json_schema: { name: 'ball', schema: { ...schema, required: ['colour'] } },
  },
})
console.log('object:', JSON.parse(object.choices[0].message.content))

const { data: vectors } = await client.embeddings.create({ model, input: ['a dog', 'a cat'] })
const dot = vectors[0].embedding.reduce((sum, x, i) => sum + x * vectors[1].embedding[i], 0)
console.log('a dog and a cat are', dot.toFixed(3), 'alike')

// LangChain at graft serve. In your own folder:
//
//     graft serve stories260k & npm install @langchain/openai && node langchain.mjs
//
// GRAFT_URL names another server, GRAFT_MODEL the base or an expert.

import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai'

const { GRAFT_URL: baseURL = 'http://127.0.0.1:8080/v1', GRAFT_MODEL: model = 'base' } = process.env
const server = { configuration: { baseURL }, apiKey: 'none', model }

const chat = new ChatOpenAI({ ...server, maxTokens: 24, temperature: 0 })
const { content } = await chat.invoke([
  ['system', 'You tell stories.'],
  ['human', 'A dog'],
])
console.log('whole:', content)

process.stdout.write('stream: ')
for await (const chunk of await chat.stream('A dog')) process.stdout.write(String(chunk.content))
console.log()

const schema = {
  title: 'ball',
  type: 'object',
  properties: { colour: { enum: ['red', 'blue'] } },
  required: ['colour'],
}
const inForm = new ChatOpenAI(server).withStructuredOutput(schema, { method: 'jsonSchema' })
console.log('object:', await inForm.invoke('What colour is the ball?'))

const embeddings = new OpenAIEmbeddings(server)
const [first, second] = await embeddings.embedDocuments(['a dog', 'a cat'])
console.log('vectors of', first.length, 'and', second.length, 'numbers')

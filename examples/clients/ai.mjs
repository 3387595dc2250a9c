// The AI SDK (npm's ai, version 7): in this process without a server, and at a server. In your own
// folder: npm install ai @ai-sdk/openai-compatible zod graftlm, and import from 'graftlm/node' and
// 'graftlm/server'.

import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { embed, generateText, Output, streamText } from 'ai'
import { z } from 'zod'
import { createEngine, loadModel } from '../../src/node/index.ts'
import { createAiProvider, createService } from '../../src/server/index.ts'

const loaded = await loadModel('stories260k')
const service = await createService({ model: loaded, engine: createEngine({ model: loaded }) })
const graft = createAiProvider({ service })

const { textStream } = streamText({
  model: graft('base'),
  prompt: 'A story about a dog.',
  maxOutputTokens: 24,
})
process.stdout.write('in this process: ')
for await (const part of textStream) process.stdout.write(part)
console.log()

const { output } = await generateText({
  model: graft('base'),
  prompt: 'What colour is the ball?',
  output: Output.object({ schema: z.object({ colour: z.enum(['red', 'blue']) }) }),
})
console.log('object:', output)

const { embedding } = await embed({ model: graft.embeddingModel('base'), value: 'a dog' })
console.log('embedding of', embedding.length, 'numbers')
await loaded.dispose()

// The same at a server: graft serve stories260k
const { GRAFT_URL: baseURL = 'http://127.0.0.1:8080/v1', GRAFT_MODEL: name = 'base' } = process.env
const server = createOpenAICompatible({ name: 'graft', baseURL, supportsStructuredOutputs: true })
const { text } = await generateText({ model: server(name), prompt: 'A dog', maxOutputTokens: 24 })
console.log('at a server:', text)

// An answer with a grammar and speculation: the mask at each position is that of the accepted
// tokens.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { createEngine, type EngineRequest } from '../../runtime/index.ts'
import { type LoadedModel, loadModel } from '../model.ts'

let model: LoadedModel
beforeAll(async () => {
  model = await loadModel('stories260k')
})
afterAll(() => model.dispose())

async function answer(request: EngineRequest) {
  const engine = createEngine({ model })
  try {
    for await (const event of engine.generate(request))
      if (event.type === 'generation-end')
        return { text: event.text, reason: event.reason, stats: engine.stats() }
    throw new Error('an answer without an end')
  } finally {
    await engine.dispose()
  }
}

it('is the answer of one token at a time, in fewer steps', async () => {
  const schema = {
    type: 'array',
    items: {
      type: 'object',
      properties: { name: { enum: ['Lily', 'Tom'] }, happy: { type: 'boolean' } },
      required: ['name', 'happy'],
      additionalProperties: false,
    },
    minItems: 6,
    maxItems: 6,
  }
  const row = '{"name":"Lily","happy":true},'
  for (const more of [{}, { temperature: 0.8, seed: 5 }]) {
    const request: EngineRequest = {
      prompt: model.encode(`[${row.repeat(5)}`),
      grammar: { type: 'json-schema', schema, whitespace: 'none' },
      maxTokens: 300,
      exact: true,
      ...more,
    }
    const plain = await answer(request)
    const ahead = await answer({ ...request, speculate: true })
    expect({ text: ahead.text, reason: ahead.reason }).toEqual({
      text: plain.text,
      reason: plain.reason,
    })
    expect(JSON.parse(ahead.text)).toHaveLength(6)
    expect(ahead.stats.acceptedTokens).toBeGreaterThan(5)
    expect(ahead.stats.steps).toBeLessThan(plain.stats.steps)
  }
})

// The middleware of the AI SDK, as wrapLanguageModel calls it.
import { expect, it } from 'vitest'
import { createCaptureMiddleware } from './ai-middleware.ts'
import type { CapturedRow } from './captured-row.ts'
import type { CaptureOutcome } from './create-capture.ts'
import { parseRedaction } from './redaction.ts'

const model = { modelId: 'teacher' }
const params = {
  prompt: [
    { role: 'system' as const, content: 'Be brief.' },
    { role: 'user' as const, content: [{ type: 'text', text: 'I am a@b.org' }] },
  ],
  tools: [{ type: 'function', name: 'add', description: 'adds', inputSchema: { type: 'object' } }],
}

function setUp(consents?: () => boolean) {
  const rows: CapturedRow[] = []
  const outcomes: CaptureOutcome[] = []
  const middleware = createCaptureMiddleware({
    rules: parseRedaction('all'),
    write: async (row) => void rows.push(row),
    onCall: (outcome) => void outcomes.push(outcome),
    consents,
  })
  return { middleware, rows, outcomes }
}

const parts = [
  { type: 'reasoning', text: 'Hm.' },
  { type: 'tool-call', toolCallId: 'c1', toolName: 'add', input: '{"a":1}' },
]
const wanted = {
  role: 'assistant',
  content: null,
  reasoning_content: 'Hm.',
  tool_calls: [{ id: 'c1', type: 'function', function: { name: 'add', arguments: '{"a":1}' } }],
}

it('keeps a generated answer and returns it as it is', async () => {
  const { middleware, rows } = setUp()
  const result = { content: parts, finishReason: { unified: 'tool-calls', raw: 'x' } }
  expect(await middleware.wrapGenerate({ params, model, doGenerate: async () => result })).toBe(
    result,
  )
  expect(rows[0]!.messages).toEqual([
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'I am [email]' },
    wanted,
  ])
  expect(rows[0]!.tools).toEqual([
    {
      type: 'function',
      function: { name: 'add', description: 'adds', parameters: { type: 'object' } },
    },
  ])
})

it('keeps a streamed answer when it has ended', async () => {
  const { middleware, rows } = setUp()
  const stream = ReadableStream.from([
    { type: 'text-start', id: '1' },
    { type: 'text-delta', id: '1', delta: 'Two' },
    { type: 'text-delta', id: '1', delta: ' words' },
    { type: 'finish', finishReason: 'stop' },
  ]) as ReadableStream<unknown>
  const result = await middleware.wrapStream({
    params,
    model,
    doStream: async () => ({ stream, other: 1 }),
  })
  expect(result.other).toBe(1)
  expect(rows).toEqual([])
  const passed: unknown[] = []
  for await (const part of result.stream) passed.push(part)
  expect(passed.length).toBe(4)
  expect(rows[0]!.messages.at(-1)).toEqual({ role: 'assistant', content: 'Two words' })
})

it('keeps nothing without consent, of a cut answer, and of pictures', async () => {
  const result = { content: [{ type: 'text', text: 'a' }], finishReason: 'stop' }
  const doGenerate = async () => result
  const refused = setUp(() => false)
  await refused.middleware.wrapGenerate({ params, model, doGenerate })
  expect([refused.rows, refused.outcomes]).toEqual([[], []])
  const cut = setUp()
  await cut.middleware.wrapGenerate({
    params,
    model,
    doGenerate: async () => ({ ...result, finishReason: 'length' }),
  })
  expect(cut.outcomes).toEqual([{ type: 'left-out', reason: 'the answer was cut off' }])
  const picture = setUp()
  const prompt = [{ role: 'user' as const, content: [{ type: 'file', mediaType: 'image/png' }] }]
  expect(await picture.middleware.wrapGenerate({ params: { prompt }, model, doGenerate })).toBe(
    result,
  )
  expect(picture.outcomes[0]!.type).toBe('failed')
})

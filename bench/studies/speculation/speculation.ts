// Speculative decoding, compared with one token at a time in the same run: speed on copying,
// editing, JSON, chat and taught answers, what a call costs, and how far its numbers are from those
// of one token.

import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  toBenchmarkRow,
} from '../../../src/cli/bench/benchmark.ts'
import { createLearner } from '../../../src/node/index.ts'
import { type LoadedModel, loadModel } from '../../../src/node/index.ts'
import { createEngine, type Engine, type EngineRequest } from '../../../src/runtime/index.ts'
import type { Generation } from '../../../src/runtime/index.ts'
import { measureCalls } from './call-costs.ts'

const letter =
  'The harbour of Lindholm lies on the north side of the bay. Ships from Bergen, Hull and Gdansk come in with timber, salt and coal, and leave with herring, wool and iron. In winter the ice closes the outer basin for about six weeks, and the pilots move to the station at Skarvik, twelve kilometres to the west.'
const misspelt =
  'The comittee met on Tuesday to discus the new libary. Mrs Olsen said that the bilding will cost eleven million crowns, and that the archtect has promised to finish the drawings untill May. Mr Berg asked wether the old reading room could be kept, becuase many people in the town are fond of it.'
const table =
  'name, city, age, member\nAnna Holm, Oslo, 34, yes\nPeter Lund, Bergen, 41, no\nMaria Vik, Tromsø, 29, yes\nJon Moe, Bodø, 52, no\nEva Dahl, Molde, 38, yes'

const tasks: Readonly<Record<string, readonly string[]>> = {
  copying: [
    `Repeat this text word for word, and write nothing else:\n\n${letter}`,
    `Write this list again, without any change:\n\n${table}`,
  ],
  editing: [
    `Correct the spelling of this text and leave all other words as they are:\n\n${misspelt}`,
    `Replace Lindholm by Nordhavn in this text and leave all other words as they are:\n\n${letter}`,
  ],
  JSON: [
    `Write these rows as a JSON list of objects with the keys name, city, age and member:\n\n${table}`,
    `Write each sentence of this text as an object {"sentence": "…"} of a JSON list:\n\n${letter}`,
  ],
  chat: [
    'Why is the sky blue in the day and red in the evening?',
    'Give me three tips for learning a language, each in two sentences.',
  ],
}

const MOST_TOKENS = 128
const LEAST_RUNS = 3

interface Answered {
  readonly generation: Generation
  readonly tokensPerSecond: number
}

async function answerOnce(engine: Engine, request: EngineRequest): Promise<Answered> {
  for await (const event of engine.generate(request))
    if (event.type === 'generation-end')
      return { generation: event, tokensPerSecond: event.tokensPerSecond }
  throw new Error('an answer without an end')
}

interface Measured {
  readonly ahead: number[]
  readonly plain: number[]
  readonly drafted: number
  readonly accepted: number
  readonly calls: number
  readonly tokens: number
  /** Answers that are the same, token for token. */
  readonly same: number
  readonly answers: number
}

/** Each request by both ways, in turn, so that other work of the machine meets both. */
async function measureRequests(
  model: LoadedModel,
  requests: readonly (() => Promise<EngineRequest>)[],
  runs: number,
): Promise<Measured> {
  const engines = {
    plain: createEngine({ model }),
    ahead: createEngine({ model, speculate: true }),
  }
  const sums = { ahead: [] as number[], plain: [] as number[], same: 0, tokens: 0 }
  for (const create of requests) {
    await answerOnce(engines.plain, await create()) // compiled, and the prompt is in the cache
    await answerOnce(engines.ahead, await create())
    for (let run = 0; run < runs; run++) {
      const plain = await answerOnce(engines.plain, await create())
      const ahead = await answerOnce(engines.ahead, await create())
      sums.plain.push(plain.tokensPerSecond)
      sums.ahead.push(ahead.tokensPerSecond)
      sums.tokens += ahead.generation.ids.length
      if (ahead.generation.text === plain.generation.text) sums.same++
    }
  }
  const { draftedTokens, acceptedTokens, writtenTokens } = engines.ahead.stats()
  await Promise.all([engines.plain.dispose(), engines.ahead.dispose()])
  const calls = writtenTokens - acceptedTokens
  const counts = { drafted: draftedTokens, accepted: acceptedTokens, calls }
  return { ...sums, ...counts, tokens: writtenTokens, answers: requests.length * runs }
}

function describeMeasured(name: string, measured: Measured): BenchmarkRow {
  const { ahead, plain, drafted, accepted, calls, tokens, same, answers } = measured
  const rate = drafted === 0 ? 'none tried' : `${Math.round((100 * accepted) / drafted)} % right`
  return toBenchmarkRow({
    name,
    unit: 'tokens/s',
    higherIsBetter: true,
    ours: ahead,
    reference: { name: 'one at a time', values: plain },
    note: `drafts: ${rate}; ${(tokens / calls).toFixed(2)} tokens a call; ${same} of ${answers} texts the same`,
  })
}

async function* measureTasks(model: LoadedModel, exact: boolean): AsyncGenerator<BenchmarkRow> {
  for (const [name, prompts] of Object.entries(tasks)) {
    const requests = prompts.map((content) => () => {
      const prompt = model.encode([{ role: 'user', content }])
      return Promise.resolve({ prompt, maxTokens: MOST_TOKENS, exact })
    })
    const measured = await measureRequests(model, requests, exact ? 1 : LEAST_RUNS)
    yield describeMeasured(`${name}${exact ? ', exact' : ''}`, measured)
  }
}

/** Two answers at the same time: tokens of both in a second. */
async function measurePair(engine: Engine, requests: readonly EngineRequest[]): Promise<number> {
  const start = performance.now()
  const answered = await Promise.all(requests.map((request) => answerOnce(engine, request)))
  const tokens = answered.reduce((sum, { generation }) => sum + generation.ids.length, 0)
  return (tokens * 1000) / (performance.now() - start)
}

async function* measureTwoRows(model: LoadedModel): AsyncGenerator<BenchmarkRow> {
  for (const name of ['copying', 'chat']) {
    const requests = tasks[name]!.map((content) => ({
      prompt: model.encode([{ role: 'user', content }]),
      maxTokens: MOST_TOKENS,
    }))
    const plain = createEngine({ model })
    const ahead = createEngine({ model, speculate: true })
    const ours: number[] = []
    const values: number[] = []
    for (let run = 0; run <= LEAST_RUNS; run++) {
      const one = await measurePair(plain, requests)
      const other = await measurePair(ahead, requests)
      if (run === 0) continue // compiled, and the prompts are in the cache
      values.push(one)
      ours.push(other)
    }
    const { draftedTokens, acceptedTokens } = ahead.stats()
    await Promise.all([plain.dispose(), ahead.dispose()])
    yield toBenchmarkRow({
      name: `${name}, two rows`,
      unit: 'tokens/s',
      higherIsBetter: true,
      ours,
      reference: { name: 'one at a time', values },
      note: `${acceptedTokens} of ${draftedTokens} drafted tokens were right`,
    })
  }
}

/** Answers that a user was taught, given again by the memory's pairs. */
async function* measureTaught(model: LoadedModel): AsyncGenerator<BenchmarkRow> {
  const learner = createLearner({ model })
  const prompt = 'Where do ships go when the outer basin freezes?'
  for (let i = 0; i < 4; i++) await learner.learn({ user: 'ada', prompt, completion: ` ${letter}` })
  const ids = model.encode(prompt)
  const create = async (): Promise<EngineRequest> => {
    const { request } = await learner.startAnswer('ada', ids)
    return { ...request, prompt: ids, maxTokens: 64 }
  }
  yield describeMeasured('taught answer', await measureRequests(model, [create], LEAST_RUNS))
  await learner.close()
}

async function* measureSpeculation({
  environment,
  progress,
}: BenchmarkContext): AsyncGenerator<BenchmarkRow> {
  const only = environment['GRAFT_BENCH_SPECULATION']
  if (only === undefined || only === 'calls') {
    progress('calls')
    yield* measureCalls()
  }
  if (only === 'calls') return
  const model = await loadModel('smollm2-135m-instruct')
  try {
    progress('two rows')
    if (only !== 'tasks') yield* measureTwoRows(model)
    if (only === 'rows') return
    progress('tasks')
    yield* measureTasks(model, false)
    progress('a taught answer')
    yield* measureTaught(model)
    progress('exact')
    yield* measureTasks(model, true)
  } finally {
    await model.dispose()
  }
}

export const speculationStudy: Benchmark = {
  name: 'speculation',
  summary:
    'speculative decoding against one token at a time: copying, editing, JSON, chat, taught answers',
  needs: 'the model smollm2-135m-instruct; GRAFT_BENCH_SPECULATION: calls, rows or tasks alone',
  run: measureSpeculation,
}

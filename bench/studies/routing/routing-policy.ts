// The policy router on clinc150 and banking77: accuracy, size and latency; and Router LoRA on prompts
// that have moved away: trained on half of each domain's intents, it meets the other half.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  summarizeValues,
} from '../../../src/cli/bench/benchmark.ts'
import { random } from '../../../src/base/random.ts'
import { createNodeBackend } from '../../../src/node/backend.ts'
import type { Backend } from '../../../src/compute/backend.ts'
import {
  type Regained,
  regainByRight,
  regainByShuffled,
  trainShifted,
} from '../../../src/route/policy/shifted-prompts.testing.ts'
import { openTextEncoder } from '../../../src/node/route/open-encoder.ts'
import {
  createRouter,
  type RouteExample,
  type Router,
  type TextEmbedder,
} from '../../../src/route/index.ts'

const seeds = [0, 1, 2]
const feedbacks = 200
const goals: Readonly<Record<string, number>> = { clinc150: 91, banking77: 86 }

interface LabelledPrompt {
  readonly text: string
  readonly intent: string
  readonly domain?: string
}

async function readPrompts(folder: string, name: string): Promise<LabelledPrompt[]> {
  const text = await readFile(join(folder, `${name}.jsonl`), 'utf8')
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as LabelledPrompt)
}

const toExamples = (rows: readonly LabelledPrompt[]): RouteExample[] =>
  rows.map(({ text, intent }) => ({ text, expert: intent }))

interface Teaching {
  readonly backend: Backend
  /** Teaches the policy. */
  readonly embedder: TextEmbedder | undefined
  /** Options of the kind. */
  readonly more: object
}

async function trainPolicy(
  examples: readonly RouteExample[],
  held: readonly RouteExample[],
  seed: number,
  { backend, embedder, more }: Teaching,
): Promise<Router> {
  const names = [...new Set(examples.map(({ expert }) => expert!))].toSorted()
  const experts = names.map((name) => ({ name }))
  const options = Object.assign({ taught: embedder !== undefined }, more)
  return createRouter({
    kind: 'policy',
    experts,
    examples,
    held,
    seed,
    backend,
    options,
    ...(embedder && { embedder }),
  })
}

/** Whether the best expert is the right one, whatever the confidence. */
async function measureAccuracy(router: Router, rows: readonly RouteExample[]): Promise<number> {
  let right = 0
  for (const { text, expert } of rows)
    if ((await router.decide({ text })).scores[0]?.expert === expert) right++
  return (100 * right) / rows.length
}

/** Milliseconds of decisions on prompts of 40 words, most of them new each time. */
async function measureLatency(router: Router, words: readonly string[]): Promise<number[]> {
  const draw = random(1)
  const times: number[] = []
  for (let i = 0; i < 600; i++) {
    const text = Array.from({ length: 40 }, () => words[draw.integer(words.length)]!).join(' ')
    const start = performance.now()
    await router.decide({ text })
    times.push(performance.now() - start)
  }
  return times.slice(100).toSorted((a, b) => a - b)
}

async function* measureData(
  data: string,
  folder: string,
  teaching: Teaching,
): AsyncGenerator<BenchmarkRow> {
  const train = toExamples(await readPrompts(folder, 'train'))
  const test = toExamples(await readPrompts(folder, 'test'))
  // A tenth for calibration, so that clinc150's own validation rows are not needed.
  const order = random(9).shuffle(train)
  const held = order.slice(0, Math.floor(order.length / 10))
  const start = performance.now()
  const router = await trainPolicy(order.slice(held.length), held, 0, teaching)
  const seconds = ((performance.now() - start) / 1000).toFixed(0)
  const accuracy = await measureAccuracy(router, test)
  const bytes = JSON.stringify(router.save()).length
  yield {
    name: `policy on ${data}${teaching.embedder ? ', taught by an encoder' : ''}`,
    unit: '% of the test prompts',
    higherIsBetter: true,
    ours: summarizeValues([accuracy]),
    goal: goals[data]!,
    note: `trained on ${order.length - held.length} prompts in ${seconds} s; its file has ${Math.round(bytes / 1024)} KB`,
  }
  const words = train.flatMap(({ text }) => text.split(/\s+/))
  const times = await measureLatency(router, words)
  yield {
    name: `policy on ${data}: 40 words, p99`,
    unit: 'ms',
    higherIsBetter: false,
    ours: summarizeValues([times[Math.floor(0.99 * times.length)]!]),
    note: `median ${times[times.length >> 1]!.toFixed(2)} ms`,
  }
}

/** Prompts by domain: those of the intents that training sees, and of the others. */
function splitIntents(rows: readonly LabelledPrompt[], seed: number) {
  const intents = new Map<string, Set<string>>()
  for (const { domain, intent } of rows) {
    const own = intents.get(domain!) ?? new Set<string>()
    intents.set(domain!, own.add(intent))
  }
  const draw = random(seed)
  const seen = new Set(
    [...intents.values()].flatMap((own) =>
      draw.shuffle([...own].toSorted()).slice(0, Math.ceil(own.size / 2)),
    ),
  )
  return (part: readonly LabelledPrompt[], isSeen: boolean): RouteExample[] =>
    part
      .filter(({ intent }) => seen.has(intent) === isSeen)
      .map(({ text, domain }) => ({ text, expert: domain }))
}

/** The share of what was lost that feedback brings back, in %, with right and shuffled experts. */
async function measureFeedback(folder: string, seed: number, teaching: Teaching) {
  const train = await readPrompts(folder, 'train')
  const test = await readPrompts(folder, 'test')
  const select = splitIntents(train, seed)
  const draw = random(seed)
  const known = draw.shuffle(select(train, true)).slice(0, 4000)
  const tenth = Math.floor(known.length / 10)
  const router = await trainPolicy(known.slice(tenth), known.slice(0, tenth), seed, teaching)
  const file = router.save()
  const shifted = select(test, false)
  const before = await measureAccuracy(router, shifted)
  const lost = (await measureAccuracy(router, select(test, true))) - before
  const given = draw.shuffle(select(train, false)).slice(0, feedbacks)
  const shuffled = draw.shuffle(given.map(({ expert }) => expert!))
  const regained: number[] = []
  for (const rights of [given.map(({ expert }) => expert!), shuffled]) {
    const own = await createRouter({ file })
    for (const [i, { text }] of given.entries()) {
      const decision = await own.decide({ text })
      await own.learn!({ request: { text }, decision, right: rights[i]! })
    }
    regained.push((100 * ((await measureAccuracy(own, shifted)) - before)) / lost)
  }
  return { lost, right: regained[0]!, shuffled: regained[1]! }
}

/** Prompts of the same experts with other words, as the test has them. */
async function* measureOtherWords(backend: Backend): AsyncGenerator<BenchmarkRow> {
  const right: Regained[] = []
  const shuffled: Regained[] = []
  for (const seed of [1, 2, 3]) {
    const trained = await trainShifted(seed, backend)
    right.push(await regainByRight(trained, seed))
    shuffled.push(await regainByShuffled(trained, seed))
  }
  const toRow = (name: string, all: readonly Regained[]): BenchmarkRow => ({
    name: `Router LoRA, other words: regained by 198 ${name}`,
    unit: '% of what was lost',
    higherIsBetter: true,
    ours: summarizeValues(all.map(({ share }) => 100 * share)),
    note: all
      .map(
        ({ share, lost, known }) =>
          `${(100 * share).toFixed(0)} of ${(100 * lost).toFixed(0)} points, old prompts ${(100 * known).toFixed(0)} %`,
      )
      .join('; '),
  })
  yield Object.assign(toRow('right answers', right), { goal: 50 })
  yield toRow('shuffled answers', shuffled)
}

async function* measureRouterLora(
  folder: string,
  teaching: Teaching,
  progress: BenchmarkContext['progress'],
): AsyncGenerator<BenchmarkRow> {
  const all = []
  for (const seed of seeds) {
    progress(`feedback on shifted prompts, seed ${seed}`)
    all.push(await measureFeedback(folder, seed, teaching))
  }
  const note = `lost ${all.map(({ lost }) => lost.toFixed(1)).join(', ')} points`
  yield {
    name: `Router LoRA: regained by ${feedbacks} feedbacks`,
    unit: '% of what was lost',
    higherIsBetter: true,
    ours: summarizeValues(all.map(({ right }) => right)),
    goal: 50,
    note,
  }
  yield {
    name: `Router LoRA: regained by ${feedbacks} shuffled feedbacks`,
    unit: '% of what was lost',
    higherIsBetter: false,
    ours: summarizeValues(all.map(({ shuffled }) => shuffled)),
    note,
  }
}

export const routingPolicy: Benchmark = {
  name: 'routing-policy',
  summary: 'the policy router: accuracy, size, latency, and what feedback regains',
  needs:
    'GRAFT_BENCH_DATA: a folder with clinc150/ and banking77/, train.jsonl and test.jsonl; GRAFT_BENCH_SETS (clinc150,banking77,words,lora), _ENCODER (teaches), _OPTIONS (JSON, of the kind)',
  async *run({ environment, progress }) {
    const folder = environment['GRAFT_BENCH_DATA']
    if (folder === undefined) {
      progress('GRAFT_BENCH_DATA names no folder with clinc150 and banking77: nothing is measured')
      return
    }
    const sets = environment['GRAFT_BENCH_SETS']?.split(',') ?? [
      ...Object.keys(goals),
      'words',
      'lora',
    ]
    const encoder = environment['GRAFT_BENCH_ENCODER']
    const embedder = encoder === undefined ? undefined : await openTextEncoder(encoder)
    const more = JSON.parse(environment['GRAFT_BENCH_OPTIONS'] ?? '{}') as object
    const teaching = { backend: await createNodeBackend({ threads: 1 }), embedder, more }
    for (const data of Object.keys(goals).filter((name) => sets.includes(name))) {
      progress(`training on ${data}`)
      yield* measureData(data, join(folder, data), teaching)
    }
    if (sets.includes('words')) yield* measureOtherWords(teaching.backend)
    if (sets.includes('lora'))
      yield* measureRouterLora(join(folder, 'clinc150'), teaching, progress)
    await embedder?.dispose()
  },
}

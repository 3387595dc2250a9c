// How long routers take to decide on prompts of 40 tokens, each new to them.

import { type BenchmarkRow, summarizeValues } from '../../../src/cli/bench/benchmark.ts'
import { random, type Random } from '../../../src/base/random.ts'
import { createNodeBackend } from '../../../src/node/backend.ts'
import {
  createRouter,
  type RouteExample,
  type Router,
  type TextEmbedder,
} from '../../../src/route/index.ts'

const words =
  'transfer book cancel play order weather money flight card song meeting please the a to of my for in on tomorrow account change find show table'.split(
    ' ',
  )
/** Each of the words is one token of SmolLM2 and of MiniLM. */
const promptWords = 38
const warm = 20

/** Drawn, because a prompt that is asked twice is not read twice. */
const drawWords = (draw: Random): string =>
  Array.from({ length: promptWords }, () => words[draw.integer(words.length)]).join(' ')

/** With a word of an expert, as most prompts that users send to one have it. */
const drawKnown = (draw: Random): string =>
  `${drawWords(draw).split(' ').slice(2).join(' ')} topic${draw.integer(8)}`

/** Median and range of so many decisions; the 99th percentile in the note. */
export async function measureLatency(
  router: Router,
  name: string,
  decisions: number,
  drawText = drawWords,
): Promise<BenchmarkRow> {
  const times: number[] = []
  const draw = random(decisions)
  for (let i = 0; i < decisions + warm; i++) {
    const text = drawText(draw)
    const start = performance.now()
    await router.decide({ text })
    if (i >= warm) times.push(performance.now() - start)
  }
  const sorted = times.toSorted((a, b) => a - b)
  const p99 = sorted[Math.floor(0.99 * (sorted.length - 1))]!
  return {
    name: `${name}, 40 tokens`,
    unit: 'ms',
    higherIsBetter: false,
    ours: summarizeValues(times),
    note: `p99 ${p99.toFixed(2)} ms`,
  }
}

const experts = Array.from({ length: 8 }, (_, i) => ({ name: `expert${i}` }))
const examples: readonly RouteExample[] = Array.from({ length: 400 }, (_, i) => ({
  text: `a question about ${words[i % 26]} ${words[(i * 7) % 26]} number${i} topic${i % 8}`,
  expert: `expert${i % 8}`,
}))

/** `live`: reads prompts for the kinds that need vectors, which are left out without it. */
export async function* measureKinds(live: TextEmbedder | undefined): AsyncGenerator<BenchmarkRow> {
  const keyword = await createRouter({ kind: 'keyword', experts, examples })
  yield await measureLatency(keyword, 'keyword: decide', 1000)
  const backend = await createNodeBackend({ threads: 1 })
  const options = { epochs: 4 }
  const policy = await createRouter({ kind: 'policy', experts, examples, backend, options })
  yield await measureLatency(policy, 'policy: decide', 500)
  if (!live) return
  const embedding = await createRouter({ experts, examples, embedder: live })
  yield await measureLatency(embedding, 'embedding: decide', 300)
  const cascade = await createRouter({ kind: 'cascade', experts, examples, embedder: live })
  yield await measureLatency(cascade, 'cascade, prompts with a keyword: decide', 300, drawKnown)
  yield await measureLatency(cascade, 'cascade, prompts without one: decide', 100)
}

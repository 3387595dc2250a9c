// Thumbs and nothing else: a simulated user who dislikes answers that begin with "The" judges what
// is generated, up or down. Are such answers less likely afterwards, on questions that were never
// asked? For comparison the same ratings, shuffled among the answers. The fast tier alone, so that
// earlier answers do not become more likely by retrieval.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { random } from '../../src/base/random.ts'
import { createLearner, type Learner, type TrainingExample } from '../../src/learn/index.ts'
import { readDataFile } from '../../src/node/data.ts'
import { type LoadedModel, loadModel } from '../../src/node/model.ts'
import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  summarizeValues,
} from '../../src/cli/bench/benchmark.ts'

const folder = fileURLToPath(new URL('../../examples/data/trec', import.meta.url))
const seeds = [0, 1, 2]
const heldQuestions = 30
const sampling = { maxTokens: 8, temperature: 1, topP: 0.95 }

const computeMean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
const toMessages = (question: string) => [{ role: 'user', content: question }]
/** The user's taste, which the learner does not know. */
const isLiked = (answer: string): boolean => !/^The\b/.test(answer)

async function readQuestions(part: 'train' | 'test', count: number): Promise<string[]> {
  const data = await readDataFile(join(folder, `${part}.jsonl`))
  return data.rows.slice(0, count).map(({ value }) => String((value as { text: unknown }).text))
}

interface RatedAnswer {
  readonly example: TrainingExample
  readonly liked: boolean
}

/** Answers of the frozen model to held-out questions, two for each, with their hidden states. */
async function generateHeldAnswers(model: LoadedModel): Promise<RatedAnswer[]> {
  const prompts = (await readQuestions('test', heldQuestions)).flatMap((question) => [
    model.encode(toMessages(question)),
    model.encode(toMessages(question)),
  ])
  const answers = await model.generateBatch(prompts, sampling)
  const judged: RatedAnswer[] = []
  for (const [i, { ids, text }] of answers.entries()) {
    if (ids.length === 0) continue
    const whole = [...prompts[i]!, ...ids]
    const at = [ids.map((_, t) => prompts[i]!.length + t - 1)]
    const [states] = await model.hidden([whole.slice(0, -1)], { at })
    judged.push({
      example: { hidden: Float32Array.from(states!.flatMap((values) => [...values])), tokens: ids },
      liked: isLiked(text),
    })
  }
  return judged
}

/** Mean log-likelihood of liked and of disliked answers, in nats an answer. */
async function measureLikelihoods(
  learner: Learner,
  user: string,
  held: readonly RatedAnswer[],
): Promise<{ liked: number; disliked: number }> {
  const stack = await learner.tiers(user)
  const liked: number[] = []
  const disliked: number[] = []
  for (const { example, liked: isGood } of held)
    (isGood ? liked : disliked).push(
      -(await stack.score(example)).losses.reduce((sum, loss) => sum + loss, 0),
    )
  return { liked: computeMean(liked), disliked: computeMean(disliked) }
}

function shuffleValues<T>(values: readonly T[], seed: number): T[] {
  const { uniform } = random(seed)
  const result = [...values]
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(uniform() * (i + 1))
    ;[result[i], result[j]] = [result[j]!, result[i]!]
  }
  return result
}

/**
 * Asks, answers and rates; `verdicts`, if given, replace the user's own. Returns which answers the
 * user liked in truth.
 */
async function simulateTalk(
  learner: Learner,
  user: string,
  asks: readonly string[],
  seed: number,
  verdicts?: readonly boolean[],
): Promise<boolean[]> {
  const liked: boolean[] = []
  for (const [i, question] of asks.entries()) {
    let text = ''
    for await (const event of learner.generate(toMessages(question), {
      user,
      ...sampling,
      seed: 1000 * seed + i,
    })) {
      if (event.type === 'generation-end') text = event.text
      if (event.type !== 'turn-end') continue
      liked.push(isLiked(text))
      await learner.feedback({
        user,
        turn: event.turn,
        feedback: (verdicts?.[i] ?? liked[i]!) ? 'up' : 'down',
      })
    }
  }
  return liked
}

interface Outcome {
  readonly margin: number
  readonly liked: number
  readonly disliked: number
  /** Share of answers the user liked in truth, in the last half of the talk. */
  readonly share: number
}

interface Measurement {
  readonly judged: Outcome
  readonly control: Outcome
}

const computeShare = (liked: readonly boolean[]): number =>
  liked.filter(Boolean).length / liked.length

async function measure(
  model: LoadedModel,
  held: readonly RatedAnswer[],
  asks: readonly string[],
  seed: number,
  tell: (text: string) => void,
): Promise<Measurement> {
  const learner = createLearner({ model, memory: false })
  const before = await measureLikelihoods(learner, 'nobody', held)
  const outcome = async (user: string, liked: readonly boolean[]): Promise<Outcome> => {
    const after = await measureLikelihoods(learner, user, held)
    const up = after.liked - before.liked
    const down = after.disliked - before.disliked
    const result = {
      margin: up - down,
      liked: up,
      disliked: down,
      share: computeShare(liked.slice(liked.length >> 1)),
    }
    tell(
      `seed ${seed}, ${user}: margin ${result.margin.toFixed(2)}, of the last half ${(100 * result.share).toFixed(0)} % liked`,
    )
    return result
  }
  const verdicts = await simulateTalk(learner, 'judged', shuffleValues(asks, seed), seed)
  const judged = await outcome('judged', verdicts)
  const control = await outcome(
    'control',
    await simulateTalk(
      learner,
      'control',
      shuffleValues(asks, seed),
      seed,
      shuffleValues(verdicts, seed + 100),
    ),
  )
  return { judged, control }
}

async function* measureThumbs({
  environment,
  progress,
}: BenchmarkContext): AsyncIterable<BenchmarkRow> {
  const turns = Number(environment['GRAFT_BENCH_THUMBS_TURNS'] ?? 40)
  const model = await loadModel('smollm2-135m-instruct:q4_1', { threads: 1 })
  try {
    progress('answers of the frozen model to held-out questions')
    const held = await generateHeldAnswers(model)
    const asks = await readQuestions('train', turns)
    const results: Measurement[] = []
    for (const seed of seeds) results.push(await measure(model, held, asks, seed, progress))
    const compared = (
      name: string,
      unit: string,
      of: keyof Outcome,
      higherIsBetter = true,
    ): BenchmarkRow => {
      const ours = results.map(({ judged }) => judged[of])
      const control = results.map(({ control: shuffle }) => shuffle[of])
      const note = `by seed ${ours.map((value, i) => `${value.toFixed(2)} and ${control[i]!.toFixed(2)}`).join(', ')}`
      return {
        name,
        unit,
        higherIsBetter,
        ours: summarizeValues(ours),
        reference: { name: 'shuffled', ...summarizeValues(control) },
        note,
      }
    }
    yield compared('liked minus disliked answers, change', 'nats an answer', 'margin')
    yield compared('liked answers, change', 'nats an answer', 'liked')
    yield compared('disliked answers, change', 'nats an answer', 'disliked', false)
    yield compared(`liked of the last ${turns >> 1} answers`, 'share', 'share')
  } finally {
    await model.dispose()
  }
}

export const thumbs: Benchmark = {
  name: 'thumbs',
  summary:
    'thumbs up and down alone: likelihood of liked minus disliked answers on held-out questions, against shuffled ratings, three seeds',
  needs:
    'the real SmolLM2-135M-Instruct; GRAFT_BENCH_THUMBS_TURNS=40: answers judged by seed and arm',
  run: measureThumbs,
}

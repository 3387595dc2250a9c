// A small model of children's stories serves people who ask for JSON, and learns their domain turn
// by turn: node examples/domain-adaptation.ts In a project of your own, import from 'graftlm/node'.

import { readFile } from 'node:fs/promises'
import { createLearner, type TurnExample } from '../src/learn/index.ts'
import { loadModel } from '../src/node/index.ts'

const model = await loadModel('stories260k', { threads: 1 })
const learner = createLearner({ model, slow: { rank: 8, epochs: 2, learningRate: 3e-3 } })
const user = 'office'

const lines = (
  await readFile(new URL('data/snips_json/train.jsonl', import.meta.url), 'utf8')
).split('\n', 60)
const all: TurnExample[] = lines.map((line) => {
  const { text, json } = JSON.parse(line) as { text: string; json: object }
  return { prompt: `${text}\n`, completion: JSON.stringify(json) }
})
const turns = all.slice(0, 44)
const unseen = all.slice(44)
/** What the model was good at before, and must stay good at. */
const general: TurnExample[] = [
  {
    prompt: 'Once upon a time',
    completion: ', there was a little girl named Lily. She loved to play outside in the park.',
  },
  {
    prompt: 'One day',
    completion: ', Tom and his mom went to the zoo. They saw a big lion and a small bird.',
  },
  {
    prompt: 'The dog',
    completion: ' was very happy. He ran to the ball and played with it all day.',
  },
]

const computeMean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length
const formatNats = (nats: number): string => nats.toFixed(2).padStart(10)

async function measureLoss(who: string, examples: readonly TurnExample[]): Promise<number> {
  const losses: number[] = []
  for (const example of examples) losses.push(await learner.loss({ user: who, ...example }))
  return computeMean(losses)
}

/**
 * What it must not forget, the model writes itself: after two of three turns it is reminded of a
 * story of its own.
 */
async function generateStory(seed: number): Promise<TurnExample> {
  const prompt = ['Lily', 'Tom', 'There was', 'The cat', 'They', 'One day'][seed % 6]!
  for await (const event of model.generate(prompt, { maxTokens: 40, temperature: 1, seed }))
    if (event.type === 'generation-end') return { prompt, completion: event.text }
  throw new Error('the last event of an answer is generation-end')
}

const losses: number[] = []
for (const [i, turn] of turns.entries()) {
  // the losses from before learning it
  losses.push(computeMean((await learner.learn({ user, ...turn })).losses))
  if (i % 3 < 2) await learner.learn({ user, ...(await generateStory(i)) })
}
const half = turns.length >> 1
const printRow = (name: string, first: number, second: number): void =>
  console.log(name.padEnd(26) + formatNats(first) + formatNats(second))

console.log('nats a token                 1st half  2nd half')
printRow(
  'frozen model',
  await measureLoss('nobody', turns.slice(0, half)),
  await measureLoss('nobody', turns.slice(half)),
)
printRow(
  'learning from each turn',
  computeMean(losses.slice(0, half)),
  computeMean(losses.slice(half)),
)

console.log('\nnats a token                   unseen   stories')
printRow('frozen model', await measureLoss('nobody', unseen), await measureLoss('nobody', general))
printRow('fast tier and memory', await measureLoss(user, unseen), await measureLoss(user, general))
const verdict = await learner.consolidate(user, { canaries: general, bound: 0.01 })
printRow('slow tier alone', await measureLoss(user, unseen), await measureLoss(user, general))
console.log(
  `\nconsolidation ${verdict.kept ? 'kept' : 'rolled back'}: ${verdict.reason}; ${(await learner.tiers(user)).memory!.count} pairs left in the memory`,
)
await model.dispose()

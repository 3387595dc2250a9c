// A small model of children's stories serves people who ask for JSON, and learns their domain turn
// by turn: node examples/domain-adaptation.ts; in your own project, import from 'graftlm/learn' and
// 'graftlm/node'.

import { createLearner, type TurnExample } from '../src/learn/index.ts'
import { loadModel } from '../src/node/index.ts'
import { computeMean, readTurns, stories, writeStory } from './shared/office.ts'

const model = await loadModel('stories260k', { threads: 1 })
const learner = createLearner({ model, slow: { rank: 8, epochs: 2, learningRate: 3e-3 } })
const user = 'office'
const all = await readTurns(60)
const turns = all.slice(0, 44)
const unseen = all.slice(44)

async function measureLoss(who: string, examples: readonly TurnExample[]): Promise<number> {
  const losses: number[] = []
  for (const example of examples) losses.push(await learner.loss({ user: who, ...example }))
  return computeMean(losses)
}

const losses: number[] = []
for (const [i, turn] of turns.entries()) {
  // the losses from before learning it
  losses.push(computeMean((await learner.learn({ user, ...turn })).losses))
  // After two of three turns it learns one of its old stories again.
  if (i % 3 < 2) await learner.learn({ user, ...(await writeStory(model, i)) })
}
const half = turns.length >> 1
const formatNats = (nats: number): string => nats.toFixed(2).padStart(10)
const printRow = (name: string, first: number, second: number): void =>
  console.log(name.padEnd(26) + formatNats(first) + formatNats(second))
const printLosses = async (name: string, who: string): Promise<void> =>
  printRow(name, await measureLoss(who, unseen), await measureLoss(who, stories))

console.log('nats per token                 1st half  2nd half')
const early = await measureLoss('nobody', turns.slice(0, half))
const late = await measureLoss('nobody', turns.slice(half))
printRow('frozen model', early, late)
const learned = [losses.slice(0, half), losses.slice(half)].map(computeMean)
printRow('learning from each turn', learned[0]!, learned[1]!)

console.log('\nnats per token                   unseen   stories')
await printLosses('frozen model', 'nobody')
await printLosses('fast tier and memory', user)
const verdict = await learner.consolidate(user, { canaries: stories, bound: 0.01 })
await printLosses('slow tier alone', user)
const { count } = (await learner.tiers(user)).memory!
const outcome = verdict.kept ? 'kept' : 'rolled back'
console.log(`\nconsolidation ${outcome}: ${verdict.reason}; ${count} pairs left in the memory`)
await model.dispose()

// Three agents on one task, in one engine: a coder drafts, a reviewer and a security agent judge the
// draft at once, past results say whom to ask, and three coders agree: node examples/agents.ts.
// Small experts stand for real ones. In your own project, import from 'graftlm/agents'.

import { compareConsensus, createAgents, createPastResults } from '../src/agents/index.ts'
import { metrics } from '../src/eval/index.ts'
import { loadModel, train } from '../src/node/index.ts'

const model = await loadModel('stories260k')
type Row = { readonly prompt: string; readonly completion: string }
const teach = async (rows: readonly Row[], seed = 0) =>
  (await train({ model, data: rows, steps: 60, learningRate: 5e-3, seed }).done).adapter
const names = ['Lily', 'Tom', 'Sue', 'Max', 'Anna', 'Ben']
const toDraft = (name: string): string => `${name} saw a cat.`
const toRows = (prompt: (name: string) => string, answer: (name: string) => string): Row[] =>
  names.map((name) => ({ prompt: prompt(name), completion: ` ${answer(name)} End.` }))
const tasks = toRows((name) => `Write ${name}:`, toDraft)
const judgeDraft = () => 'It is good.'
const reviews = toRows((name) => `Review: ${toDraft(name)}`, judgeDraft)
const checkDraft = () => 'It is safe.'
const checks = toRows((name) => `Check: ${toDraft(name)}`, checkDraft)

const answers = { maxTokens: 24, stop: ['End.'] }
const agents = await createAgents({
  model,
  roles: {
    coder: { expert: await teach(tasks), ...answers },
    reviewer: { expert: await teach(reviews), ...answers },
    security: { expert: await teach(checks), ...answers },
  },
})
const draft = (await agents.ask('coder', 'Write Tom:')).text.trim()
const opinions = await Promise.all([
  agents.ask('reviewer', `Review: ${draft}`),
  agents.ask('security', `Check: ${draft}`),
])
console.log(`coder: ${draft}`)
for (const { agent, text } of opinions) console.log(`${agent}: ${text.trim()}`)

const past = await createPastResults()
for (const { agent, text } of await agents.askAll('Write Lily:'))
  await past.add({ text: 'Write Lily:', agent, score: text.trim() === toDraft('Lily') ? 1 : 0 })
console.log((await past.choose('Write Ben:'))!.reason)
await agents.close()

const [a, b, c] = await Promise.all([0, 2, 4].map((at) => teach(tasks.toSpliced(at, 2), at)))
const data = { name: 'tasks', rows: tasks.map((value, i) => ({ number: i + 1, value })) }
const judged = { model, data, metric: metrics.get('token-f1')!, newTokens: 24, stop: answers.stop }
for (const { name, value } of await compareConsensus({
  ...judged,
  experts: { a: a!, b: b!, c: c! },
}))
  console.log(`${name} ${value.toFixed(2)}`)
await model.dispose()

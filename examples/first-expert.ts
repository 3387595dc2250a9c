// Train, save, load and swap an adapter in eight lines: node examples/first-expert.ts. It writes the
// folder cat-stories. In your own project, import from 'graftlm/node'.

import { loadAdapter, loadModel, saveAdapter, train } from '../src/node/index.ts'
const model = await loadModel('stories260k')
const data = ['Lily', 'Tom', 'Sue'].map((name) => ({ text: `${name}: ${name} saw a cat. Bye.` }))
const trained = await train({ model, data, steps: 60, learningRate: 5e-3 }).done
await saveAdapter(trained.adapter, 'cat-stories')
const expert = await loadAdapter('cat-stories')
for (const adapter of [expert, undefined, expert])
  console.log(adapter ? 'expert:' : 'base:', await model.complete('Tom:', { adapter, stop: ['.'] }))

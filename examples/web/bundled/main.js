// The same program for vite, webpack and a page without a bundler: a model in the page, an expert
// that is taught, and the same model in a worker.

import { loadModel, openEngineWorker, train } from 'graftlm/web'

const at = (id) => document.getElementById(id)
const source = new URL('models/stories260k/', document.baseURI).href
try {
  const model = await loadModel(source)
  const data = ['Lily', 'Tom', 'Sue'].map((name) => ({ text: `${name}: ${name} saw a cat. Bye.` }))
  const { adapter } = await train({ model, data, steps: 40, learningRate: 1e-2 }).done
  at('page').textContent = await model.complete('Tom:', { adapter, maxTokens: 16, stop: ['.'] })

  const engine = await openEngineWorker({ model: source })
  for await (const event of engine.generate({ prompt: 'Once upon a time', maxTokens: 8 }))
    if (event.type === 'generation-end') at('worker').textContent = event.text
  await engine.dispose()
  document.title = 'done'
} catch (error) {
  at('problem').textContent = error.message
  document.title = 'failed'
}

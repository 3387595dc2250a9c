'use client'

import { loadModel, openEngineWorker, train } from 'graftlm/web'
import { useEffect, useState } from 'react'

/** Opens a model, teaches an expert, and answers with it; the same model once more in a worker. */
export default function Expert() {
  const [shown, setShown] = useState({ page: '', worker: '', problem: '' })
  useEffect(() => {
    run((part) => setShown((before) => ({ ...before, ...part }))).then(
      () => (document.title = 'done'),
      (error) => {
        setShown((before) => ({ ...before, problem: error.message }))
        document.title = 'failed'
      },
    )
  }, [])
  return (
    <>
      <p>
        In the page: <output id="page">{shown.page}</output>
      </p>
      <p>
        In a worker: <output id="worker">{shown.worker}</output>
      </p>
      <p id="problem" role="alert">
        {shown.problem}
      </p>
    </>
  )
}

async function run(show) {
  const source = new URL('/models/stories260k/', location.href).href
  const model = await loadModel(source)
  const data = ['Lily', 'Tom', 'Sue'].map((name) => ({ text: `${name}: ${name} saw a cat. Bye.` }))
  const { adapter } = await train({ model, data, steps: 40, learningRate: 1e-2 }).done
  show({ page: await model.complete('Tom:', { adapter, maxTokens: 16, stop: ['.'] }) })
  const engine = await openEngineWorker({ model: source })
  for await (const event of engine.generate({ prompt: 'Once upon a time', maxTokens: 8 }))
    if (event.type === 'generation-end') show({ worker: event.text })
  await engine.dispose()
}

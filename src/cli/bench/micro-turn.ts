// Times a whole turn of a learner, an answer and its feedback, compared with MicroLoRA's step
// alone, because users wait for the whole turn. The model is the smallest of the catalogue, which
// is part of the package.

import { createLearner } from '../../learn/index.ts'
import { loadModel } from '../../node/index.ts'

const answerTokens = 14
const turns = 12

/** Microseconds of each turn: its answer, then thumbs up and the learning that follows. */
export async function measureTurns(now: () => number): Promise<{ name: string; times: number[] }> {
  const model = await loadModel('stories260k', { threads: 1 })
  const learner = createLearner({ model })
  const times: number[] = []
  for (let i = -2; i < turns; i++) {
    const start = now()
    let turn: number | undefined
    for await (const event of learner.generate('Once upon a time, there was a', {
      user: 'bench',
      maxTokens: answerTokens,
      temperature: 0.8,
      seed: i + 2,
    }))
      if (event.type === 'turn-end') turn = event.turn
    await learner.feedback({ user: 'bench', turn: turn!, feedback: i % 3 === 0 ? 'down' : 'up' })
    if (i >= 0) times.push(now() - start) // the first two compile
  }
  await model.dispose()
  return { name: `answer of ${answerTokens} tokens and its feedback, stories260k`, times }
}

// A chat that learns only from thumbs up and down: node examples/thumbs-chat.ts Ada likes stories
// about boys; the model does not know it. Elsewhere import from 'graftlm/node'.

import { createLearner } from '../src/learn/index.ts'
import { loadModel } from '../src/node/index.ts'

const model = await loadModel('stories260k', { threads: 1 })
const learner = createLearner({ model })
const judged = ['Once upon a time, there was a', 'There was once a', 'In a small house lived a']
const unseen = ['One day, a', 'On Sunday a']
const isLiked = (text: string): boolean => /\b(boy|he|his|him|Tim|Tom)\b/.test(text)

interface Answer {
  readonly text: string
  readonly turn: number
}

async function answer(user: string, opening: string, seed: number): Promise<Answer> {
  let text = ''
  for await (const event of learner.generate(opening, {
    user,
    maxTokens: 14,
    temperature: 0.8,
    seed,
  })) {
    if (event.type === 'generation-end') text = event.text
    if (event.type === 'turn-end') return { text, turn: event.turn }
  }
  throw new Error('the last event of an answer is turn-end')
}

/** The share of a user's answers that Ada would like; nothing is learned. */
async function measureLikes(
  user: string,
  openings: readonly string[],
  count = 24,
): Promise<string> {
  let good = 0
  for (let i = 0; i < count; i++)
    good += Number(isLiked((await answer(user, openings[i % openings.length]!, 5000 + i)).text))
  return `${((100 * good) / count).toFixed(0)} %`.padStart(6)
}

const before = await measureLikes('ada', judged)
const unseenBefore = await measureLikes('ada', unseen)
const opinions = { up: 0, down: 0 }
for (let i = 0; i < 48; i++) {
  const { text, turn } = await answer('ada', judged[i % judged.length]!, i)
  const feedback = isLiked(text) ? 'up' : 'down'
  opinions[feedback]++
  if (i < 6) console.log(`${feedback.padEnd(4)} ${judged[i % judged.length]} ${text.trim()}`)
  await learner.feedback({ user: 'ada', turn, feedback })
}
console.log(`… ${opinions.up} up, ${opinions.down} down\n`)

console.log('liked by ada               before   after')
console.log(`openings she judged        ${before}  ${await measureLikes('ada', judged)}`)
console.log(`openings she never saw     ${unseenBefore}  ${await measureLikes('ada', unseen)}`)
console.log(`the same, answers for eve  ${unseenBefore}  ${await measureLikes('eve', unseen)}`)
await model.dispose()

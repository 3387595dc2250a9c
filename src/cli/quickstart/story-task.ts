// The task for a model of 260,000 parameters, learned in seconds: three words in, a story of three
// sentences out. All rows are generated here.

import { random } from '../../base/random.ts'
import type { Task, TaskExample } from './task.ts'

const names = [
  'Lily',
  'Tom',
  'Tim',
  'Ben',
  'Sam',
  'Sue',
  'Mia',
  'Max',
  'Anna',
  'Lucy',
  'Jack',
  'Sara',
  'Bob',
  'Amy',
  'Leo',
  'Jane',
]
const things = [
  'ball',
  'dog',
  'cat',
  'car',
  'book',
  'hat',
  'toy',
  'tree',
  'cake',
  'bird',
  'box',
  'bear',
  'apple',
  'fish',
  'boat',
  'doll',
]
const places = ['park', 'house', 'garden', 'school', 'shop', 'forest']

const ending = 'The end.'

const createStory = (name: string, thing: string, place: string): TaskExample => ({
  prompt: `${name}, ${thing}, ${place}.`,
  completion: ` ${name} went to the ${place}. ${name} saw a ${thing}. ${ending}`,
})

const trainRows = 600
const testRows = 100

/** Answers stop before the ending. */
const isStory = (answer: string, { completion }: TaskExample): boolean =>
  answer.trim() === completion.slice(0, -ending.length).trim()

export const storyTask: Task = {
  name: 'stories',
  about: 'three words in, a story of three sentences with all of them out',
  missing: () => undefined,
  examples() {
    const all = names.flatMap((name) =>
      things.flatMap((thing) => places.map((place) => createStory(name, thing, place))),
    )
    // Any seed will do: it only selects the combinations that training never sees.
    const order = random(7).shuffle(all)
    return Promise.resolve({ train: order.slice(0, trainRows), test: order.slice(-testRows) })
  },
  usualRows: { train: trainRows, test: testRows },
  config: { rank: 16, alpha: 32, targets: 'all-linear' },
  training: { learningRate: 5e-3, epochs: 2, batch: { rows: 2, tokens: 256 }, seed: 0 },
  // The model never learned an end-of-text token: the story's own last words end it.
  answers: { maxTokens: 60, stop: [ending], together: 50 },
  score(answers, rows) {
    const exact = answers.filter((answer, i) => isStory(answer, rows[i]!)).length
    const words = rows.map(({ prompt }) => prompt.replace('.', '').split(', '))
    const named = answers.filter((answer, i) =>
      words[i]!.every((word) => answer.includes(word)),
    ).length
    return [
      { name: 'all three words', value: named, of: rows.length },
      { name: 'exact match', value: exact, of: rows.length },
    ]
  },
  isRight: isStory,
}

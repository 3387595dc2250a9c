// The researcher's data: small tables and sources, and questions that they answer.

import { drawInteger, isExpectedNumber, isExpectedChoice, pick, sample } from './answers.ts'
import type { RoleData, TaskGenerator } from './role-data.ts'

const authors = [
  'Abara',
  'Bergen',
  'Castell',
  'Dufour',
  'Eriksen',
  'Fontane',
  'Gruber',
  'Haddad',
  'Ibarra',
  'Jensen',
  'Kovacs',
  'Lindqvist',
]
const claims = [
  ['sleep', 'Short sleep lowers attention the next day', 'how little sleep changes attention'],
  ['noise', 'Traffic noise raises blood pressure', 'whether noise acts on blood pressure'],
  ['light', 'Evening light delays the start of sleep', 'what light in the evening does'],
  ['walking', 'Daily walks improve memory in old age', 'whether walking helps memory'],
  ['bees', 'Bee colonies shrink where fields are sprayed', 'what spraying does to bees'],
  ['rivers', 'Rivers carry more sediment after forest fires', 'how fires change rivers'],
  [
    'reading',
    'Children who are read to know more words at school',
    'what reading aloud does for vocabulary',
  ],
  ['heat', 'Heat waves lower the yield of wheat', 'how heat acts on harvests'],
] as const

const studies: TaskGenerator = {
  name: 'studies',
  generate(random) {
    const chosen = sample(random, authors, drawInteger(random, 3, 5))
    const years = chosen.map(() => drawInteger(random, 1995, 2023))
    const sizes = sample(
      random,
      Array.from({ length: 60 }, (_, i) => 20 + 15 * i),
      chosen.length,
    )
    const since = pick(random, years)
    const rows = chosen.map((author, i) => `${author} ${years[i]}: ${sizes[i]} participants`)
    const allowed = chosen.map((_, i) => i).filter((i) => years[i]! >= since)
    const largest = allowed.reduce((best, i) => (sizes[i]! > sizes[best]! ? i : best))
    return {
      prompt: `${rows.join('\n')}\nWhich study from ${since} or later has the most participants? Answer with the author.`,
      completion: chosen[largest]!,
      facts: { author: chosen[largest], authors: chosen },
    }
  },
  check: ({ author, authors: all }, answer) => isExpectedChoice(answer, author, all),
}

const mean: TaskGenerator = {
  name: 'mean',
  generate(random) {
    const values = Array.from(
      { length: drawInteger(random, 3, 6) },
      () => drawInteger(random, 10, 400) / 10,
    )
    const unit = pick(random, ['mg', 'ms', 'cm', 'kg', '°C'])
    const value = values.reduce((sum, each) => sum + each, 0) / values.length
    return {
      prompt: `Measured (${unit}): ${values.map((each) => each.toFixed(1)).join(', ')}\nWhat is the mean, to two decimals? Answer with the number.`,
      completion: value.toFixed(2),
      facts: { value },
    }
  },
  // half a unit of the second decimal, and its rounding
  check: ({ value }, answer) => isExpectedNumber(answer, value, 0.0051),
}

const source: TaskGenerator = {
  name: 'source',
  generate(random) {
    const chosen = sample(random, claims, drawInteger(random, 3, 5))
    const writers = sample(random, authors, chosen.length)
    const lines = chosen.map(
      ([, claim], i) => `[${i + 1}] ${writers[i]} (${drawInteger(random, 1998, 2023)}): ${claim}.`,
    )
    const asked = random.integer(chosen.length)
    return {
      prompt: `${lines.join('\n')}\nWhich source says ${chosen[asked]![2]}? Answer with its number.`,
      completion: `[${asked + 1}]`,
      facts: { number: asked + 1 },
    }
  },
  check: ({ number }, answer) => isExpectedNumber(answer, number),
}

export const researcher: RoleData = {
  name: 'researcher',
  domain: 'research',
  topics: [
    { name: 'summary', quality: [0.7, 0.98] },
    { name: 'comparison', quality: [0.6, 0.95] },
    { name: 'citation', quality: [0.8, 1] },
  ],
  tasks: [studies, mean, source],
}

// The reviewer's data: code and a claim about what it does. If the two differ, the difference was
// inserted deliberately.

import type { Random } from '../../../base/random.ts'
import {
  drawInteger,
  isExpectedNumber,
  isExpectedChoice,
  addLineNumbers,
  pick,
  sample,
} from './answers.ts'
import type { RoleData, TaskGenerator } from './role-data.ts'

/** A line in its right form, and one that does something else. */
type Line = readonly [right: string, wrong: string]

interface Change {
  readonly says: string
  readonly lines: readonly (string | Line)[]
}

const changes: readonly ((random: Random) => Change)[] = [
  (random) => {
    const limit = drawInteger(random, 1, 99)
    return {
      says: `Adds up the values above ${limit}.`,
      lines: [
        ['let sum = 0', 'let sum = 1'],
        'for (const value of values) {',
        [`  if (value > ${limit}) sum += value`, `  if (value >= ${limit}) sum += value`],
        '}',
        ['return sum', 'return values.length'],
      ],
    }
  },
  (random) => {
    const name = pick(random, ['items', 'orders', 'users', 'files'])
    return {
      says: `Returns the largest of ${name}, which are never empty.`,
      lines: [
        [`let best = ${name}[0]`, 'let best = 0'],
        [
          `for (let i = 1; i < ${name}.length; i++) {`,
          `for (let i = 1; i < ${name}.length - 1; i++) {`,
        ],
        [
          `  if (${name}[i] > best) best = ${name}[i]`,
          `  if (${name}[i] < best) best = ${name}[i]`,
        ],
        '}',
        'return best',
      ],
    }
  },
  (random) => {
    const days = drawInteger(random, 2, 60)
    const unit = pick(random, ['session', 'token', 'invoice', 'key'])
    return {
      says: `Tells whether a ${unit} is older than ${days} days.`,
      lines: [
        'const dayMs = 24 * 60 * 60 * 1000',
        [`const age = now - ${unit}.createdAt`, `const age = ${unit}.createdAt - now`],
        [`const limit = ${days} * dayMs`, `const limit = ${days + 1} * dayMs`],
        ['return age > limit', 'return age < limit'],
      ],
    }
  },
  (random) => {
    const least = drawInteger(random, 2, 12)
    const name = pick(random, ['words', 'lines', 'names', 'labels'])
    return {
      says: `Counts the ${name} of at least ${least} letters.`,
      lines: [
        ['let count = 0', 'let count = 1'],
        `for (const text of ${name}) {`,
        [`  if (text.length < ${least}) continue`, `  if (text.length > ${least}) continue`],
        ['  count++', '  count = text.length'],
        '}',
        'return count',
      ],
    }
  },
  (random) => {
    const percent = 5 * drawInteger(random, 1, 12)
    const name = pick(random, ['price', 'fee', 'total', 'rent'])
    return {
      says: `Returns the ${name} lowered by ${percent} %, and never less than 0.`,
      lines: [
        [`const share = ${percent} / 100`, `const share = ${percent} / 10`],
        [`const lowered = ${name} * (1 - share)`, `const lowered = ${name} * (1 + share)`],
        ['return Math.max(0, lowered)', 'return Math.min(0, lowered)'],
      ],
    }
  },
]

/** A change in lines; which of them is wrong, from 1, or 0. */
function drawChange(
  random: Random,
  wrongShare: number,
): { says: string; lines: string[]; wrong: number } {
  const { says, lines } = pick(random, changes)(random)
  const places = lines.flatMap((line, i) => (typeof line === 'string' ? [] : [i]))
  const wrong = random.uniform() < wrongShare ? pick(random, places) : -1
  return {
    says,
    lines: lines.map((line, i) => (typeof line === 'string' ? line : line[i === wrong ? 1 : 0])),
    wrong: wrong + 1,
  }
}

const verdict: TaskGenerator = {
  name: 'verdict',
  generate(random) {
    const { says, lines, wrong } = drawChange(random, 0.5)
    const answer = wrong > 0 ? 'reject' : 'approve'
    return {
      prompt: `${says}\n\n${lines.join('\n')}\n\nDoes the code do what is said? Answer with approve or reject.`,
      completion: answer,
      facts: { verdict: answer },
    }
  },
  check: ({ verdict: expected }, answer) =>
    isExpectedChoice(answer, expected, ['approve', 'reject']),
}

const mistake: TaskGenerator = {
  name: 'mistake',
  generate(random) {
    const { says, lines, wrong } = drawChange(random, 1)
    return {
      prompt: `${says}\n\n${addLineNumbers(lines)}\n\nWhich line is wrong? Answer with its number.`,
      completion: String(wrong),
      facts: { line: wrong },
    }
  },
  check: ({ line }, answer) => isExpectedNumber(answer, line),
}

const variables = [
  'width',
  'height',
  'depth',
  'price',
  'weight',
  'speed',
  'count',
  'margin',
  'offset',
  'scale',
]

const unused: TaskGenerator = {
  name: 'unused',
  generate(random) {
    const chosen = sample(random, variables, drawInteger(random, 3, 5))
    const idle = pick(random, chosen)
    const used = random.shuffle(chosen.filter((name) => name !== idle))
    const lines = [
      ...chosen.map((name) => `const ${name} = ${drawInteger(random, 1, 90)}`),
      `return ${used.join(pick(random, [' + ', ' * ']))}`,
    ]
    return {
      prompt: `${lines.join('\n')}\nWhich variable is never used? Answer with its name.`,
      completion: idle,
      facts: { name: idle, variables: chosen },
    }
  },
  check: ({ name, variables: all }, answer) => isExpectedChoice(answer, name, all),
}

export const reviewer: RoleData = {
  name: 'reviewer',
  domain: 'review',
  topics: [
    { name: 'correctness', quality: [0.75, 1] },
    { name: 'style', quality: [0.5, 0.85] },
    { name: 'risk', quality: [0.6, 0.95] },
  ],
  tasks: [verdict, mistake, unused],
}

// The architect's data: modules and what they depend on, and how many machines a load needs.

import type { Random } from '../../../base/random.ts'
import {
  drawInteger,
  isExpectedNumber,
  listNamedChoices,
  isExpectedChoice,
  sample,
} from './answers.ts'
import type { RoleData, TaskGenerator } from './role-data.ts'

const modules = [
  'storage',
  'billing',
  'gateway',
  'search',
  'mail',
  'accounts',
  'reports',
  'cache',
  'audit',
  'catalogue',
  'queue',
  'metrics',
]

type Edge = readonly [from: string, to: string]

/** Edges that lead from later names to earlier ones only, so there is no cycle. */
function drawAcyclicEdges(random: Random, order: readonly string[]): Edge[] {
  return order.flatMap((from, i) =>
    sample(random, order.slice(0, i), Math.min(i, drawInteger(random, i === 1 ? 1 : 0, 2))).map(
      (to) => [from, to] as const,
    ),
  )
}

const describeEdges = (random: Random, edges: readonly Edge[]): string =>
  random
    .shuffle(edges)
    .map(([from, to]) => `${from} depends on ${to}`)
    .join('\n')

const order: TaskGenerator = {
  name: 'order',
  generate(random) {
    const chosen = sample(random, modules, drawInteger(random, 4, 6))
    const edges = drawAcyclicEdges(random, chosen)
    return {
      prompt: `${describeEdges(random, edges)}\nModules: ${[...chosen].sort().join(', ')}\nName all modules in an order in which each comes after what it depends on, with commas.`,
      completion: chosen.join(', '),
      facts: { modules: chosen, edges },
    }
  },
  check({ modules: all, edges }, answer) {
    const places = new Map(listNamedChoices(answer, all as string[]).map((name, i) => [name, i]))
    return (
      places.size === (all as string[]).length &&
      (edges as Edge[]).every(([from, to]) => places.get(from)! > places.get(to)!)
    )
  },
}

const cycle: TaskGenerator = {
  name: 'cycle',
  generate(random) {
    const chosen = sample(random, modules, drawInteger(random, 4, 6))
    const edges = drawAcyclicEdges(random, chosen)
    const hasCycle = random.uniform() < 0.5
    const [from, to] = edges[random.integer(edges.length)]!
    // The return edge: with it, from → to → from.
    const all = hasCycle ? [...edges, [to, from] as const] : edges
    return {
      prompt: `${describeEdges(random, all)}\nIs there a cycle of dependencies? Answer with yes or no.`,
      completion: hasCycle ? 'yes' : 'no',
      facts: { verdict: hasCycle ? 'yes' : 'no' },
    }
  },
  check: ({ verdict }, answer) => isExpectedChoice(answer, verdict, ['yes', 'no']),
}

const capacity: TaskGenerator = {
  name: 'capacity',
  generate(random) {
    const perSecond = 10 * drawInteger(random, 5, 90)
    const milliseconds = 10 * drawInteger(random, 2, 40)
    const percent = 10 * drawInteger(random, 5, 9)
    // in integers: 1000 ms · percent/100
    const value = Math.ceil((perSecond * milliseconds) / (10 * percent))
    return {
      prompt:
        `${perSecond} requests a second arrive, each keeps one worker busy for ${milliseconds} ms, and workers shall be busy at most ${percent} % of the time.\n` +
        'How many workers are needed at least? Answer with the number.',
      completion: String(value),
      facts: { value },
    }
  },
  check: ({ value }, answer) => isExpectedNumber(answer, value),
}

export const architect: RoleData = {
  name: 'architect',
  domain: 'architecture',
  topics: [
    { name: 'design', quality: [0.6, 0.95] },
    { name: 'scaling', quality: [0.55, 0.9] },
    { name: 'interfaces', quality: [0.7, 1] },
  ],
  tasks: [order, cycle, capacity],
}

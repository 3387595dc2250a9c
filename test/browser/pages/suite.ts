// Replaces vitest in a page: the functions that our suites use, tests run one after another, and
// the outcome as plain values. The matchers are vitest's own. Independent of the tested code.

import {
  chai,
  ChaiStyleAssertions,
  JestAsymmetricMatchers,
  JestChaiExpect,
  JestExtend,
} from '@vitest/expect'

for (const plugin of [JestExtend, JestChaiExpect, ChaiStyleAssertions, JestAsymmetricMatchers])
  chai.use(plugin)
export const expect = chai.expect

export interface Outcome {
  readonly name: string
  readonly error?: string
  readonly skipped?: string
}

class Skip extends Error {}

type Context = { skip(reason: string): never }
type Work = (context: Context) => unknown
type Case = (...values: never[]) => unknown

interface Suite {
  readonly title: string
  readonly before: Work[]
  readonly after: Work[]
  readonly beforeAll: Work[]
  readonly afterAll: Work[]
  readonly members: (Suite | { readonly test: string; readonly work: Work })[]
}

const suiteOf = (title: string): Suite => ({
  title,
  before: [],
  after: [],
  beforeAll: [],
  afterAll: [],
  members: [],
})
const root = suiteOf('')
let current = root

function suite(title: string, define: (context: Context) => unknown): void {
  const outer = current
  current = suiteOf(title)
  outer.members.push(current)
  define(context)
  current = outer
}

const test = (title: string, work: Work): void => void current.members.push({ test: title, work })

/** "%s of %i" with the values of a row, or $key with those of an object. */
function titled(title: string, row: readonly unknown[]): string {
  let at = 0
  const [first] = row as [Record<string, unknown>]
  return title
    .replaceAll(/%[sdifjop]/g, () => String(row[at++]))
    .replaceAll(/\$(\w+)/g, (whole, key: string) =>
      typeof first === 'object' && key in first ? String(first[key]) : whole,
    )
}

const each =
  (define: (title: string, work: Work) => void) =>
  (rows: readonly unknown[]) =>
  (title: string, work: Case): void => {
    for (const row of rows) {
      const values = Array.isArray(row) ? row : [row]
      define(titled(title, values), () => work(...(values as never[])))
    }
  }

export const describe = Object.assign(suite, { each: each(suite) })
export const it = Object.assign(test, { each: each(test) })
export { it as test }
export const beforeEach = (work: Work): void => void current.before.push(work)
export const afterEach = (work: Work): void => void current.after.push(work)
export const beforeAll = (work: Work): void => void current.beforeAll.push(work)
export const afterAll = (work: Work): void => void current.afterAll.push(work)

const context: Context = {
  skip: (reason) => {
    throw new Skip(reason)
  },
}

/**
 * Runs everything that was described, and gives the outcome of each test in order. What has ended so
 * far is at `outcomesSoFar` of the page.
 */
export async function runAll(): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  Object.assign(globalThis, { outcomesSoFar: outcomes })
  await run(root, [], outcomes)
  return outcomes
}

async function run(at: Suite, around: readonly Suite[], outcomes: Outcome[]): Promise<void> {
  const suites = [...around, at]
  for (const work of at.beforeAll) await work(context)
  for (const member of at.members) {
    if ('members' in member) await run(member, suites, outcomes)
    else
      outcomes.push({
        name: [...suites.map(({ title }) => title).filter(Boolean), member.test].join(' > '),
        ...(await outcomeOf(member.work, suites)),
      })
  }
  for (const work of at.afterAll) await work(context)
}

async function outcomeOf(work: Work, suites: readonly Suite[]): Promise<Omit<Outcome, 'name'>> {
  try {
    for (const { before } of suites) for (const hook of before) await hook(context)
    try {
      await work(context)
    } finally {
      for (const { after } of suites.toReversed()) for (const hook of after) await hook(context)
    }
    return {}
  } catch (error) {
    if (error instanceof Skip) return { skipped: error.message }
    return {
      error: error instanceof Error ? `${error.message}\n${error.stack ?? ''}` : String(error),
    }
  }
}

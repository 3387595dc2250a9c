// The architect's tasks have answers by construction: each row is solved again from its prompt.

import { describe, expect, it } from 'vitest'
import { readDataFile } from '../data.ts'
import { getLibraryRecipe } from './recipe-table.ts'
import { openSlice } from './slice.ts'

const readNeeds = (text: string): [string, string][] =>
  text.split('; ').map((pair) => pair.split(' needs ') as [string, string])

function orderStart(needs: readonly [string, string][]): string {
  const left = new Set(needs.flat())
  const order: string[] = []
  while (left.size > 0) {
    const ready = [...left].filter((one) => !needs.some(([a, b]) => a === one && left.has(b)))
    if (ready.length !== 1) throw new Error('more than one order')
    order.push(ready[0]!)
    left.delete(ready[0]!)
  }
  return order.join(', ')
}

function listDown(failed: string, needs: readonly [string, string][]): string {
  const down = new Set([failed])
  for (let before = 0; before < down.size;) {
    before = down.size
    for (const [a, b] of needs) if (down.has(b)) down.add(a)
  }
  return [...down].toSorted().join(', ')
}

const parts: readonly (readonly [RegExp, string])[] = [
  [/minute old|same page/, 'cache'],
  [/readers far outnumber|one database answers/, 'replica'],
  [/outgrows the disk|writes of many/, 'shard'],
  [/must not be lost|must not lose/, 'queue'],
  [/all over the world|other continents/, 'cdn'],
  [/far too many requests|retries in a loop/, 'rate limiter'],
  [/equal machines|only one gets/, 'load balancer'],
  [/makes callers wait|dead service/, 'circuit breaker'],
]

function solve(prompt: string): string | undefined {
  const [, order] = /^start order: (.*)$/.exec(prompt) ?? []
  if (order !== undefined) return orderStart(readNeeds(order))
  const [, failed, needs] = /^(\w+) fails; down: (.*)$/.exec(prompt) ?? []
  if (failed !== undefined) return listDown(failed, readNeeds(needs!))
  const [, load, each, spare] =
    /^instances: (\d+) requests\/s, (\d+) each, (\d+) spare$/.exec(prompt) ?? []
  if (load !== undefined) return String(Math.ceil(Number(load) / Number(each)) + Number(spare))
  return parts.find(([pattern]) => pattern.test(prompt))?.[1]
}

describe('tasks of the architect', () => {
  it('have the answers that follow from their prompts', async () => {
    const { trainFile, held } = await openSlice(getLibraryRecipe('architect'))
    const rows = [...(await readDataFile(trainFile)).rows, ...held.rows]
    expect(rows.length).toBeGreaterThan(1000)
    const wrong = rows.filter(({ value }) => solve(String(value['prompt'])) !== value['completion'])
    expect(wrong.map(({ value }) => value)).toEqual([])
  })
})

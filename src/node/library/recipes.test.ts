// The recipes and their slices of data: complete, licensed, disjoint, small.

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { readQuestions } from '../../eval/questions.ts'
import { getTierRecipe } from '../../train/options/adapter-tiers.ts'
import { readDataFile } from '../data.ts'
import { nodeMetrics } from '../metric-table.ts'
import { getRecipeMetric } from './measure.ts'
import { getLibraryRecipe, libraryRecipes } from './recipe-table.ts'
import { openSlice, sliceDirectory } from './slice.ts'

const recipes = [...libraryRecipes.values()]
afterAll(() => nodeMetrics.forEach((metric) => metric.dispose?.()))

describe.each(recipes.map((recipe) => [recipe.name, recipe] as const))('%s', (_, recipe) => {
  it('has rows to learn from and 50 to 150 others, each of which its metric can judge', async () => {
    const { held, labels, trainFile } = await openSlice(recipe)
    const metric = getRecipeMetric(recipe)
    for (const { row, wanted } of readQuestions(held))
      expect(await metric.findProblem?.({ row, wanted, ...(labels && { labels }) })).toBeUndefined()
    const { rows } = await readDataFile(trainFile)
    expect(rows.length).toBeGreaterThan(300)
    expect(held.rows.length).toBeGreaterThanOrEqual(50)
    expect(held.rows.length).toBeLessThanOrEqual(150)
    const learned = new Set(rows.map(({ value }) => String(value['prompt']).toLowerCase()))
    const twice = held.rows.filter(({ value }) =>
      learned.has(String(value['prompt']).toLowerCase()),
    )
    expect(twice).toEqual([])
  })
  it('names a tier, and its wanted answers score fully', async () => {
    expect(getTierRecipe(recipe.tier).kind).toMatch(/^(dora|ia3\+prompt-tuning)$/)
    const metric = getRecipeMetric(recipe)
    if (metric.needs !== 'answers') return
    const { held, labels } = await openSlice(recipe)
    for (const { row, wanted } of readQuestions(held).slice(0, 8)) {
      const score = await metric.score({ row, wanted, answer: wanted, ...(labels && { labels }) })
      expect([recipe.name, wanted, score.value]).toEqual([recipe.name, wanted, 1])
    }
  })
  it('reports where its rows are from', async () => {
    const files = await readdir(join(sliceDirectory, recipe.name))
    expect(files).toContain('SOURCE.md')
    expect(files.filter((file) => file.startsWith('LICENSE')).length).toBeGreaterThan(0)
  })
})

describe('the library', () => {
  it('has eleven recipes, and less than 4 MB of rows', async () => {
    expect(recipes).toHaveLength(11)
    let sizeBytes = 0
    for (const { name } of recipes)
      for (const file of await readdir(join(sliceDirectory, name)))
        sizeBytes += (await stat(join(sliceDirectory, name, file))).size
    expect(sizeBytes).toBeLessThan(4e6)
  })
  it('names the nearest recipe', () => {
    expect(() => getLibraryRecipe('resercher')).toThrow(
      /no recipe "resercher"\. Did you mean "researcher"\?/,
    )
  })
})

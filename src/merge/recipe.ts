// Checks of a recipe before anything is read: every problem is in the one error.

import { OptionError } from '../base/errors.ts'
import type { MergeMethod, MergeOption, MergeRecipe, CompleteRecipe } from './method.ts'
import { mergeMethods } from './method-table.ts'

const isGiven = (value: unknown): boolean => value !== undefined && value !== null

/** The method a recipe names; throws OptionError with the nearest name. */
export function getMergeMethod(name: string): MergeMethod {
  const method = mergeMethods.get(name)
  if (method) return method
  const names = [...mergeMethods.keys()]
  const nearest = names.toSorted(
    (a, b) => computeEditDistance(String(name), a) - computeEditDistance(String(name), b),
  )[0]
  throw new OptionError(
    `There is no merge method "${name}"; did you mean "${nearest}"? There are: ${names.join(', ')}.`,
  )
}

/** How many letters must be added, removed or changed (Levenshtein). */
function computeEditDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next.push(
        Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)),
      )
    row = next
  }
  return row[b.length]!
}

type Check = readonly [expected: string, is: (value: unknown) => boolean]
const createNumberCheck = (expected: string, is: (value: number) => boolean): Check => [
  expected,
  (value) => typeof value === 'number' && Number.isFinite(value) && is(value),
]

const checks: Readonly<Record<Exclude<MergeOption, 'weights'>, Check>> = {
  normalize: ['true or false', (value) => typeof value === 'boolean'],
  density: createNumberCheck('above 0 and up to 1', (value) => value > 0 && value <= 1),
  t: createNumberCheck('from 0 to 1', (value) => value >= 0 && value <= 1),
  epsilon: createNumberCheck('from 0 to below 1', (value) => value >= 0 && value < 1),
  gamma: createNumberCheck('from 0 to below 1', (value) => value >= 0 && value < 1),
  majority: ['"total" or "frequency"', (value) => value === 'total' || value === 'frequency'],
  rank: createNumberCheck(
    'a whole number ≥ 1',
    (value) => Number.isSafeInteger(value) && value >= 1,
  ),
  energy: createNumberCheck('above 0 and up to 1', (value) => value > 0 && value <= 1),
  seed: createNumberCheck('a whole number', (value) => Number.isSafeInteger(value)),
}

/**
 * A recipe with its defaults. Throws OptionError that lists everything wrong with it, for this
 * number of adapters.
 */
export function completeRecipe(
  recipe: MergeRecipe,
  method: MergeMethod,
  adapters: number,
): CompleteRecipe {
  const problems = adapters === 0 ? ['there is no adapter to merge'] : []
  if (method.adapters !== undefined && adapters !== method.adapters && adapters > 0)
    problems.push(`it is for ${method.adapters} adapters, got ${adapters}`)
  for (const [option, value] of Object.entries(recipe)) {
    if (option === 'method' || !isGiven(value)) continue
    if (!method.options.includes(option as MergeOption)) {
      problems.push(`it has no option "${option}" (it has ${method.options.join(', ') || 'none'})`)
    } else if (option === 'weights') problems.push(...findWeightProblems(value, method, adapters))
    else {
      const [expected, is] = checks[option as keyof typeof checks]
      if (!is(value))
        problems.push(
          `${option}: got ${JSON.stringify(value) ?? String(value)}, expected ${expected}`,
        )
    }
  }
  const density = recipe.density ?? 0.5
  const epsilon = recipe.epsilon ?? Math.min(0.1, density / 2, (1 - density) / 2)
  if (
    density < 1 &&
    (density - epsilon <= 0 || density + epsilon >= 1) &&
    method.options.includes('epsilon')
  )
    problems.push(`epsilon: got ${epsilon}, but density ± epsilon must lie between 0 and 1`)
  const weights = recipe.weights ?? Array.from({ length: adapters }, () => 1)
  const total =
    problems.length > 0 || !recipe.normalize ? 1 : weights.reduce((sum, weight) => sum + weight, 0)
  if (Math.abs(total) < 1e-8) problems.push('weights: they sum to 0, so they cannot be normalised')
  if (problems.length > 0) throw new OptionError(`Merge by ${method.name}: ${problems.join('; ')}.`)
  return {
    weights: weights.map((weight) => weight / total),
    density,
    epsilon,
    t: recipe.t ?? 0.5,
    gamma: recipe.gamma ?? 0.01,
    majority: recipe.majority ?? 'total',
    rank: recipe.rank,
    energy: recipe.energy,
    seed: recipe.seed ?? 0,
  }
}

function findWeightProblems(
  value: unknown,
  { positiveWeights }: MergeMethod,
  adapters: number,
): string[] {
  if (!Array.isArray(value))
    return [`weights: got ${JSON.stringify(value)}, expected a list of numbers`]
  const problems = value.flatMap((weight: unknown, k) =>
    typeof weight === 'number' && Number.isFinite(weight)
      ? []
      : [`weights[${k}]: got ${String(weight)}, expected a number`],
  )
  if (value.length !== adapters)
    problems.push(`weights: got ${value.length}, expected one for each of the ${adapters} adapters`)
  if (positiveWeights && value.some((weight) => (weight as number) < 0))
    problems.push(
      'weights: a sign is elected among the adapters, so a negative weight has no meaning; use task-arithmetic to subtract',
    )
  return problems
}

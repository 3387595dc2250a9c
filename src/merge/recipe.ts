// Checks a merge's options before anything is read, and fills in the defaults: every problem is in
// one error.

import { OptionError } from '../base/errors.ts'
import {
  describeUnknownOption,
  describeValue,
  type Fields,
  findValueProblems,
  isRecord,
  joinProblems,
} from '../base/schema.ts'
import { findNearestName } from '../base/suggest.ts'
import { findTextProblems } from '../adapters/adapter-config.ts'
import { mergeContext, methodOptions, resultOptions, type MergeWeights } from './merge-options.ts'
import type { MergeMethod, MergeRecipe, CompleteRecipe } from './method.ts'
import { mergeMethods } from './method-table.ts'

const methodsByAlias = new Map(
  [...mergeMethods.values()].flatMap((row) => (row.aliases ?? []).map((alias) => [alias, row])),
)

/** The method of this name or alias; throws OptionError with the name that was probably meant. */
export function getMergeMethod(name = 'weighted'): MergeMethod {
  const method = mergeMethods.get(name) ?? methodsByAlias.get(name)
  if (method) return method
  const names = [...mergeMethods.keys()]
  const nearest = typeof name === 'string' ? findNearestName(name, names) : undefined
  const hint = nearest === undefined ? '.' : `; did you mean "${nearest}"?`
  throw new OptionError(`There is no merge method "${name}"${hint} There are: ${names.join(', ')}.`)
}

/** An adapter's names; a weight may use any of them. Empty: it has none. */
export type AdapterNames = readonly string[]

/**
 * The options with their defaults. Throws OptionError that lists everything wrong with them, for
 * these adapters.
 */
export function completeRecipe(
  recipe: MergeRecipe,
  method: MergeMethod,
  adapters: readonly AdapterNames[],
): CompleteRecipe {
  const problems = [
    ...findCountProblems(method, adapters.length),
    ...findOptionProblems(recipe, method),
  ]
  const weights = resolveWeights(recipe.weights, adapters, problems)
  if (method.positiveWeights && weights.some((weight) => weight < 0))
    problems.push(
      'weights: a sign is elected among the adapters, so a negative weight has no meaning; use task-arithmetic to subtract',
    )
  const density = recipe.density ?? methodOptions.density.default
  const epsilon = recipe.epsilon ?? Math.min(0.1, density / 2, (1 - density) / 2)
  if (
    density < 1 &&
    (density - epsilon <= 0 || density + epsilon >= 1) &&
    method.options.includes('epsilon')
  )
    problems.push(`epsilon: got ${epsilon}, but density ± epsilon must be between 0 and 1`)
  const total =
    problems.length > 0 || !recipe.normalize ? 1 : weights.reduce((sum, weight) => sum + weight, 0)
  if (Math.abs(total) < 1e-8) problems.push('weights: they sum to 0, so they cannot be normalised')
  if (problems.length > 0)
    throw new OptionError(`Merge by ${method.name}: ${joinProblems(problems)}`)
  return {
    weights: weights.map((weight) => weight / total),
    density,
    epsilon,
    t: recipe.t ?? methodOptions.t.default,
    gamma: recipe.gamma ?? methodOptions.gamma.default,
    majority: recipe.majority ?? methodOptions.majority.default,
    rank: recipe.rank,
    energy: recipe.energy,
    seed: recipe.seed ?? methodOptions.seed.default,
  }
}

function findCountProblems(method: MergeMethod, adapters: number): string[] {
  if (adapters === 0) return ['there is no adapter to merge']
  return method.adapters === undefined || adapters === method.adapters
    ? []
    : [`it is for ${method.adapters} adapters, got ${adapters}`]
}

/** Unknown names, options of other methods, and wrong values. */
function findOptionProblems(recipe: MergeRecipe, { options }: MergeMethod): string[] {
  if (!isRecord(recipe)) return [`got ${describeValue(recipe)}, expected an object`]
  const { name, tags } = recipe as { name?: string; tags?: readonly string[] }
  const own = Object.fromEntries(options.map((option) => [option, methodOptions[option]]))
  const fields: Fields = { ...own, ...resultOptions, ...mergeContext }
  const given = Object.entries(recipe).flatMap(([option, value]) =>
    option === 'method' || value === undefined ? [] : [option],
  )
  const foreign = given.filter((option) => !Object.hasOwn(fields, option))
  const wrong = findValueProblems(recipe, fields)
  const listed = Array.isArray(tags) && tags.every((tag) => typeof tag === 'string')
  return [
    ...foreign.map((option) =>
      Object.hasOwn(methodOptions, option)
        ? `it has no option "${option}" (it has ${options.join(', ') || 'none'})`
        : describeUnknownOption(option, ['method', ...Object.keys(fields)]),
    ),
    ...wrong,
    ...(typeof name === 'string' || listed
      ? findTextProblems({ name: name ?? 'merged', description: '', tags: listed ? tags : [] })
      : []),
  ]
}

/**
 * One weight for each adapter; the default is 1. Adds missing weights and unknown names to
 * `problems`.
 */
export function resolveWeights(
  weights: MergeWeights | undefined,
  adapters: readonly AdapterNames[],
  problems: string[],
): readonly number[] {
  const ones = adapters.map(() => 1)
  if (weights === undefined) return ones
  if (Array.isArray(weights)) {
    if (weights.length === adapters.length) return weights as number[]
    problems.push(
      `weights: got ${weights.length}, expected one for each of the ${adapters.length} adapters`,
    )
    return ones
  }
  if (!isRecord(weights)) return ones
  const found = findNameProblems(Object.keys(weights), adapters)
  problems.push(...found)
  return found.length > 0
    ? ones
    : adapters.map(
        (names) => (weights as Readonly<Record<string, number>>)[findName(names, weights)!]!,
      )
}

const findName = (names: AdapterNames, weights: object): string | undefined =>
  names.find((name) => Object.hasOwn(weights, name))

function findNameProblems(given: readonly string[], adapters: readonly AdapterNames[]): string[] {
  const known = adapters.flat()
  const advice = 'give the weights as a list, or the adapters by name, as in { coder, reviewer }'
  return [
    ...given
      .filter((name) => !known.includes(name))
      .map((name) => {
        const meant = findNearestName(name, known)
        const hint = meant === undefined ? '' : `. Did you mean "${meant}"?`
        return `weights: there is no adapter "${name}"${hint}`
      }),
    ...given
      .filter((name) => adapters.filter((names) => names.includes(name)).length > 1)
      .map((name) => `weights: several adapters are called "${name}"; ${advice}`),
    ...adapters.flatMap((names, k) => {
      if (names.length === 0) return [`weights: adapters[${k}] has no name; ${advice}`]
      return names.some((name) => given.includes(name))
        ? []
        : [`weights: there is none for "${names[0]}"`]
    }),
  ]
}

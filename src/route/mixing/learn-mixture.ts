// Weights of a mixture from a few examples of a task (a LoRA soup, LoraHub): the loss of the exact
// mixture is searched by simplexes, which needs no gradient. Huang et al. 2023, arXiv:2307.13269.

import type { Adapter } from '../../adapters/adapter.ts'
import { OptionError } from '../../base/errors.ts'
import { integer, number, readOptions, type GivenOptions } from '../../base/schema.ts'
import type { Model } from '../../runtime/model.ts'
import type { MixedExpert } from './mix-experts.ts'

const fields = {
  rounds: integer({ from: 1, default: 60, about: 'Mixtures that are tried.' }),
  penalty: number({
    from: 0,
    default: 0.05,
    about: 'Added to the loss: this times the mean of the weights’ absolute values.',
  }),
  bound: number({ above: 0, default: 1.5, about: 'No weight goes beyond ± this.' }),
}

export type SoupOptions = GivenOptions<typeof fields>

export interface LearnedMixture {
  readonly mixture: readonly MixedExpert[]
  /** Mean loss of the examples with the mixture, without the penalty. */
  readonly loss: number
  /** The same with each expert alone, by name, and with the base. */
  readonly alone: Readonly<Record<string, number>>
  readonly base: number
  /** Mixtures that were tried. */
  readonly tried: number
}

/** A task's example: what is asked, and what should be answered. */
export interface SoupExample {
  readonly prompt: string
  readonly answer: string
}

interface Vertex {
  readonly weights: readonly number[]
  readonly cost: number
}

/**
 * The least cost that Nelder and Mead's simplexes find (1965) from the given starts, the best of
 * which are the first simplex. `cost` is called at most `rounds` times beyond the starts.
 */
export async function searchWeights(
  starts: readonly (readonly number[])[],
  cost: (weights: readonly number[]) => Promise<number>,
  rounds: number,
): Promise<{ weights: readonly number[]; tried: number }> {
  const dimensions = starts[0]!.length
  let tried = 0
  const measure = async (weights: readonly number[]): Promise<Vertex> => {
    tried++
    return { weights, cost: await cost(weights) }
  }
  const first: Vertex[] = []
  for (const weights of starts) first.push(await measure(weights))
  let simplex = first.toSorted((a, b) => a.cost - b.cost).slice(0, dimensions + 1)
  const end = tried + rounds
  for (;;) {
    if (tried >= end) return { weights: simplex[0]!.weights, tried }
    const worst = simplex.at(-1)!
    const others = simplex.slice(0, -1)
    const centre = averageWeights(others)
    const along = (step: number): readonly number[] =>
      centre.map((value, i) => value + step * (value - worst.weights[i]!))
    const mirrored = await measure(along(1))
    const next = await chooseNext(mirrored, simplex, (step) => measure(along(step)))
    if (next) simplex = [...others, next]
    else {
      const [best] = simplex
      const shrunken: Vertex[] = [best!]
      for (const { weights } of simplex.slice(1))
        shrunken.push(await measure(weights.map((value, i) => (value + best!.weights[i]!) / 2)))
      simplex = shrunken
    }
    simplex = simplex.toSorted((a, b) => a.cost - b.cost)
  }
}

/** The vertex that takes the worst one's place; undefined: the simplex must shrink. */
async function chooseNext(
  mirrored: Vertex,
  simplex: readonly Vertex[],
  measure: (step: number) => Promise<Vertex>,
): Promise<Vertex | undefined> {
  if (mirrored.cost < simplex[0]!.cost) {
    const further = await measure(2)
    return further.cost < mirrored.cost ? further : mirrored
  }
  if (mirrored.cost < simplex.at(-2)!.cost) return mirrored
  const nearer = await measure(mirrored.cost < simplex.at(-1)!.cost ? 0.5 : -0.5)
  return nearer.cost < Math.min(mirrored.cost, simplex.at(-1)!.cost) ? nearer : undefined
}

const averageWeights = (vertices: readonly Vertex[]): number[] =>
  vertices[0]!.weights.map(
    (_, i) => vertices.reduce((sum, { weights }) => sum + weights[i]!, 0) / vertices.length,
  )

/** Mean loss of the answers' tokens with Σ weight·adapter; weights of 0 are the base. */
function createSoupLoss(
  model: Model,
  adapters: readonly Adapter[],
  examples: readonly SoupExample[],
) {
  const rows = examples.map(({ prompt, answer }) => {
    const asked = model.encode(prompt)
    const ids = [...asked, ...model.base.tokenizer!.encode(answer)]
    return { ids, labels: ids.map((id, t) => (t < asked.length ? -100 : id)) }
  })
  const ids = rows.map((row) => row.ids)
  const labels = rows.map((row) => row.labels)
  return (weights: readonly number[]): Promise<number> => {
    const mixture = adapters.flatMap((adapter, i) =>
      weights[i] === 0 ? [] : [{ adapter, weight: weights[i]! }],
    )
    return model.loss(ids, labels, mixture.length === 0 ? {} : { adapter: { mixture } })
  }
}

/**
 * Finds the weights with which experts answer a task best, from a few of its examples. Throws
 * OptionError without experts or examples, and what a mixture that has no exact sum throws.
 */
export async function learnMixture(
  model: Model,
  experts: ReadonlyMap<string, Adapter>,
  examples: readonly SoupExample[],
  options: SoupOptions = {},
): Promise<LearnedMixture> {
  const { rounds, penalty, bound } = readOptions('Options of learnMixture', options, fields)
  const names = [...experts.keys()]
  if (names.length === 0 || examples.length === 0)
    throw new OptionError('learnMixture: expected at least one expert and one example.')
  if (!model.base.tokenizer)
    throw new OptionError(`Model "${model.base.name}" has no tokenizer, and examples are texts.`)
  const measure = createSoupLoss(model, [...experts.values()], examples)
  const unit = (k: number, value: number): number[] => names.map((_, i) => (i === k ? value : 0))
  const losses = new Map<string, number>()
  for (const [k, name] of names.entries()) losses.set(name, await measure(unit(k, 1)))
  const base = await measure(unit(-1, 0))
  const cut = (weights: readonly number[]): number[] =>
    weights.map((weight) => Math.min(bound, Math.max(-bound, weight)))
  const starts = [
    names.map(() => 1 / names.length),
    ...names.map((_, k) => names.map((__, i) => (i === k ? 0.8 : 0.2 / names.length))),
  ]
  const { weights, tried } = await searchWeights(
    starts,
    async (given) => {
      const own = cut(given)
      const size = own.reduce((sum, weight) => sum + Math.abs(weight), 0) / own.length
      return (await measure(own)) + penalty * size
    },
    rounds,
  )
  const found = cut(weights).map((weight) => Number(weight.toFixed(3)))
  const mixture = names.flatMap((name, i) => (found[i] === 0 ? [] : [{ name, weight: found[i]! }]))
  const loss = await measure(found)
  return { mixture, loss, alone: Object.fromEntries(losses), base, tried }
}

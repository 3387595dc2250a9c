// PEFT's methods on A and B apart (peft/utils/merge_utils.py): each of the two is merged as if it
// were the change itself, with weight √|w·s| on either side and the sign on A. The product then has
// cross terms B_i·A_j. For reproducing PEFT's files, not for quality.

import { random } from '../../base/random.ts'
import type { FactorMethod, MergeOption, CompleteRecipe } from '../method.ts'
import { computeDensityThreshold, trimBelow } from '../magnitude-threshold.ts'

type Merge = (
  tensors: readonly Float32Array[],
  weights: readonly number[],
  recipe: CompleteRecipe,
) => Float32Array

const sumTensors: Merge = (tensors, weights) =>
  tensors[0]!.map((_, i) =>
    tensors.reduce((total, tensor, k) => total + weights[k]! * tensor[i]!, 0),
  )

/**
 * PEFT elects the sign of Σ t, or of Σ sign t, without weights; + where that is 0. Then Σ w·t·m /
 * max(1, Σ m) over the entries of that sign.
 */
export const computePeftDisjointMean: Merge = (tensors, weights, { majority }) =>
  tensors[0]!.map((_, i) => {
    let election = 0
    for (const tensor of tensors)
      election += majority === 'total' ? tensor[i]! : Math.sign(tensor[i]!)
    const sign = election >= 0 ? 1 : -1
    let total = 0
    let count = 0
    tensors.forEach((tensor, k) => {
      if (Math.sign(tensor[i]!) !== sign) return
      total += weights[k]! * tensor[i]!
      count++
    })
    return total / Math.max(1, count)
  })

const pruneTensors = (
  tensors: readonly Float32Array[],
  { density }: CompleteRecipe,
): Float32Array[] =>
  tensors.map((tensor) => {
    const copy = tensor.slice()
    trimBelow(copy, computeDensityThreshold(copy, density))
    return copy
  })

const dropEntries = (
  tensors: readonly Float32Array[],
  { density }: CompleteRecipe,
  seed: number,
): Float32Array[] => {
  const { uniform } = random(seed)
  return tensors.map((tensor) => tensor.map((value) => (uniform() < density ? value / density : 0)))
}

function createMethod(
  name: string,
  formula: string,
  summary: string,
  options: readonly MergeOption[],
  combine: FactorMethod['combine'],
  anyOrder = true,
): FactorMethod {
  return {
    name,
    formula,
    summary,
    options,
    promises: { anyOrder, oneIsItself: name === 'peft-linear' },
    space: 'factors',
    combine,
  }
}

export const peftLinear = createMethod(
  'peft-linear',
  'A = Σ ±√|w·s|·A_i, B = Σ √|w·s|·B_i',
  'Σ √|w·s|·A and Σ √|w·s|·B apart.',
  ['weights'],
  sumTensors,
)

export const peftTies = createMethod(
  'peft-ties',
  'A and B apart: t trimmed, s = sign Σ t: Σ √|w·s|·t·[sign t = s] / Σ [sign t = s]',
  'Trim A and B, elect signs without weights, divide by the count of those that agree.',
  ['weights', 'density', 'majority'],
  (tensors, weights, recipe) =>
    computePeftDisjointMean(pruneTensors(tensors, recipe), weights, recipe),
)

export const peftMagnitudePrune = createMethod(
  'peft-magnitude-prune',
  'peft-linear of trim(A_i) and trim(B_i)',
  'Trim A and B, then peft-linear.',
  ['weights', 'density'],
  (tensors, weights, recipe) => sumTensors(pruneTensors(tensors, recipe), weights, recipe),
)

export const peftDareLinear = createMethod(
  'peft-dare-linear',
  'peft-linear of A_i·m/p and B_i·m/p, m = 1 with probability p = density',
  'Drop entries of A and B at random, then peft-linear.',
  ['weights', 'density', 'seed'],
  (tensors, weights, recipe, seed) =>
    sumTensors(dropEntries(tensors, recipe, seed), weights, recipe),
  false,
)

export const peftDareTies = createMethod(
  'peft-dare-ties',
  'peft-ties of A_i·m/p and B_i·m/p, m = 1 with probability p = density',
  'Drop entries of A and B at random, then the election of peft-ties.',
  ['weights', 'density', 'majority', 'seed'],
  (tensors, weights, recipe, seed) =>
    computePeftDisjointMean(dropEntries(tensors, recipe, seed), weights, recipe),
  false,
)

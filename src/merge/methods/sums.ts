// The methods that are sums of the ΔWs, which need only a coefficient for each adapter.

import type { SumMethod } from '../method.ts'

const promises = { anyOrder: true, oneIsItself: true } as const
const useWeights: SumMethod['coefficients'] = ({ weights }) => weights

export const average: SumMethod = {
  name: 'average',
  formula: 'Σ ΔW / K',
  summary: 'The mean of all ΔW; an adapter without a module counts there as ΔW = 0.',
  options: ['rank', 'energy'],
  promises,
  space: 'sum',
  uniform: true,
  coefficients: ({ weights }) => weights.map(() => 1 / weights.length),
}

export const weighted: SumMethod = {
  name: 'weighted',
  formula: 'Σ w·ΔW',
  summary: 'Σ w·ΔW; with normalize, the weights are divided by their sum.',
  options: ['weights', 'normalize', 'rank', 'energy'],
  promises,
  space: 'sum',
  uniform: true,
  coefficients: useWeights,
}

export const taskArithmetic: SumMethod = {
  name: 'task-arithmetic',
  formula: 'Σ w·ΔW, w of either sign',
  summary:
    'Σ w·ΔW with weights of either sign: adds skills, subtracts behaviour (Ilharco et al. 2022, arXiv:2212.04089).',
  options: ['weights', 'normalize', 'rank', 'energy'],
  promises,
  space: 'sum',
  uniform: true,
  coefficients: useWeights,
}

export const cat: SumMethod = {
  name: 'cat',
  formula: 'Σ w·ΔW = [w₁·B₁ … wₖ·Bₖ]·[A₁; …; Aₖ]',
  summary: 'Σ w·ΔW exactly, by putting the factors side by side: the ranks add up.',
  options: ['weights', 'normalize'],
  promises,
  space: 'sum',
  uniform: true,
  coefficients: useWeights,
}

// SLERP: along the arc between two ΔW instead of the chord, so that results between the two keep
// their norm (Shoemake 1985).

import type { SumMethod } from '../method.ts'

/** Nearly parallel: the arc is the chord, and dividing by sin θ would only amplify rounding. */
const parallel = 0.9995

export const slerp: SumMethod = {
  name: 'slerp',
  formula: 'sin((1−t)θ)/sin θ · ΔW₀ + sin(tθ)/sin θ · ΔW₁',
  summary:
    'Between two adapters along the arc, module by module: sin((1−t)θ)/sin θ · ΔW₀ + sin(tθ)/sin θ · ΔW₁.',
  options: ['t', 'rank', 'energy'],
  promises: { anyOrder: false, oneIsItself: false },
  adapters: 2,
  space: 'sum',
  uniform: false,
  coefficients({ inner, recipe: { t } }) {
    const lengths = Math.sqrt(inner(0, 0) * inner(1, 1))
    const cosine = lengths === 0 ? 1 : inner(0, 1) / lengths // a zero ΔW has no direction: linear
    if (Math.abs(cosine) > parallel) return [1 - t, t]
    const angle = Math.acos(cosine)
    return [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)]
  },
}

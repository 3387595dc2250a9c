// LoRAX's `merged_adapters`: several experts by name and weight. Its strategy `linear` is the sum that
// a model's name writes as `coder:0.7+security:0.3`; the others change weights before they are added.

import { listOf, number, object, oneOf, string, withInfo } from '../../../base/schema.ts'
import { formatExpertSpec } from '../../../adapters/serving/expert-spec.ts'
import { RequestError } from '../../request-error.ts'
import type { AdapterScale, ServedBase } from '../../service.ts'

const strategies = ['linear', 'ties', 'dare_linear', 'dare_ties'] as const

const shape = {
  ids: listOf(string({ filled: true }), { least: 1, about: 'names of experts' }),
  weights: listOf(number({ from: -1000, to: 1000 }), { about: 'one for each; default: 1 each' }),
  merge_strategy: oneOf(strategies, { about: 'linear; the others are for graft merge' }),
  density: number({ from: 0, to: 1, about: '0: all of each' }),
  majority_sign_method: oneOf(['total', 'frequency'], { about: 'total' }),
}

export const mergedAdaptersField = withInfo(object(shape), {
  about: "LoRAX's list of experts with weights, in place of a mixture's name",
})

interface ExpertBody {
  readonly model?: string
  readonly lora?: readonly AdapterScale[]
  readonly merged_adapters?: {
    readonly ids?: readonly string[]
    readonly weights?: readonly number[]
    readonly merge_strategy?: (typeof strategies)[number]
    readonly density?: number
    readonly majority_sign_method?: string
  }
}

/** The model's name. Throws RequestError for a merge that is not a weighted sum. */
export function readModel(
  { model, lora, merged_adapters: merged }: ExpertBody,
  { name: baseName, aliases }: ServedBase,
): string | undefined {
  if (merged === undefined) return model
  const { ids, weights = [], merge_strategy: strategy = 'linear' } = merged
  if (ids === undefined) throw createProblem('ids', 'is missing: the names of experts')
  if (weights.length > 0 && weights.length !== ids.length)
    throw createProblem('weights', `has ${weights.length} numbers, but ids has ${ids.length} names`)
  if (strategy !== 'linear')
    throw createProblem(
      'merge_strategy',
      `${strategy} changes weights before they are added; merge into one expert with graft merge, or use linear`,
    )
  if (merged.density) throw createProblem('density', 'is not of linear, which keeps all; leave 0')
  if (merged.majority_sign_method === 'frequency')
    throw createProblem('majority_sign_method', 'is not of linear, which adds')
  const own = model?.trim()
  if (lora !== undefined || (own !== undefined && ![baseName, 'base', ...aliases].includes(own)))
    throw new RequestError(
      `Both ${lora === undefined ? 'model' : 'lora'} and merged_adapters name the experts that answer. Give one of them.`,
      { param: 'merged_adapters', code: 'invalid_value' },
    )
  const parts = ids.map((name, i) => ({ name, weight: weights[i] ?? 1 }))
  return formatExpertSpec({ parts })
}

const createProblem = (entry: string, problem: string): RequestError =>
  new RequestError(`merged_adapters.${entry}: ${problem}.`, {
    param: `merged_adapters.${entry}`,
    code: 'invalid_value',
  })

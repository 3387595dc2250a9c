// The names that requests may ask for a base by: its own, and those with and without the form of
// its weights, as in smollm2-135m-instruct:q4_1.

import type { BaseModel } from '../../graph/base-model.ts'

const plainDtypes = new Set(['f32', 'f16', 'bf16', 'f64'])

/** The quantisation that most matrices have; undefined if most are floats. */
function findQuantization({ weights }: Pick<BaseModel, 'weights'>): string | undefined {
  const counts = new Map<string, number>()
  for (const { dtype, shape } of weights.tensors.values())
    if (shape.length > 1) counts.set(dtype, (counts.get(dtype) ?? 0) + 1)
  const [most] = [...counts].toSorted(([, a], [, b]) => b - a)
  return most === undefined || plainDtypes.has(most[0]) ? undefined : most[0]
}

/** Further names in addition to `names`, without duplicates. */
export function listBaseAliases(
  base: Pick<BaseModel, 'weights'>,
  names: readonly string[],
): readonly string[] {
  const quantization = findQuantization(base)
  if (quantization === undefined) return []
  const ending = `:${quantization}`
  const further = names.map((name) =>
    name.toLowerCase().endsWith(ending) ? name.slice(0, -ending.length) : name + ending,
  )
  return [...new Set(further)].filter((name) => name !== '' && !names.includes(name))
}

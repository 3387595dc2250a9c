// The base's weights in the forms that a serving graph reads, layers that share one product
// stacked.

import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import {
  type Accuracy,
  collectPackedInputs,
  getPackedWeightName,
} from '../../compute/pack-linears.ts'
import { stackPacked } from '../../compute/pack.ts'
import type { Graph } from '../../graph/ir.ts'
import type { BaseWeights } from './base-weights.ts'
import type { LinearStack } from './stack-linears.ts'

export interface WeightInputs {
  /** Part of the program. */
  readonly initializers: ReadonlyMap<string, Tensor>
  /** Fed at every run, without a copy. */
  readonly fed: ReadonlyMap<string, Tensor>
}

/**
 * Weight inputs of the graph: packed ones, vectors and convolutions become part of the program,
 * float matrices are fed without a copy.
 */
export async function loadWeightInputs(
  graph: Graph,
  { weights, accuracy }: { readonly weights: BaseWeights; readonly accuracy: Accuracy },
  stacks: readonly LinearStack[],
): Promise<WeightInputs> {
  const stackOf = new Map(
    stacks.flatMap((stack) => [
      [stack.weight, stack] as const,
      ...(stack.bias ? [[stack.bias, stack] as const] : []),
    ]),
  )
  const initializers = new Map<string, Tensor>()
  const fed = new Map<string, Tensor>()
  for (const { name, role, shape } of graph.inputs) {
    if (role !== 'weight' || initializers.has(name)) continue
    const weight = getPackedWeightName(name)
    const stack = stackOf.get(weight)
    if (weight !== name) {
      const parts = await Promise.all(
        (stack?.parts.map((part) => part.weight) ?? [weight]).map((part) => weights.packed(part)),
      )
      for (const [input, tensor] of collectPackedInputs(weight, stackPacked(parts), accuracy))
        initializers.set(input, tensor)
    } else if (stack) initializers.set(name, await stackBias(stack, weights))
    else (shape.length === 2 ? fed : initializers).set(name, await weights.float(name))
  }
  return { initializers, fed }
}

async function stackBias({ parts }: LinearStack, weights: BaseWeights): Promise<F32Tensor> {
  const biases = await Promise.all(parts.map(({ bias }) => weights.float(bias!)))
  const values = biases.flatMap(({ data }) => [...data])
  return f32([values.length], values)
}

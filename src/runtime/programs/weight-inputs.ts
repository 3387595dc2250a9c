// The base's weights in the forms that a serving graph reads; layers that share one product are
// stacked.

import { f32, type F32Tensor, type FileTensor, type Tensor } from '../../base/tensor.ts'
import {
  type Accuracy,
  collectPackedInputs,
  getPackedWeightName,
} from '../../compute/pack-linears.ts'
import {
  createLazyPacked,
  FileBlocks,
  findBlocks,
  type TensorForm,
} from '../../compute/lazy-packed.ts'
import { packWeights } from '../../compute/pack.ts'
import type { PackedFiles, PackedPart } from '../../compute/packed-files.ts'
import type { Graph, GraphInput } from '../../graph/ir.ts'
import type { BaseWeights } from './base-weights.ts'
import type { LinearStack } from './stack-linears.ts'

export interface WeightInputs {
  /** Part of the program. */
  readonly initializers: ReadonlyMap<string, Tensor | FileTensor>
  /** Fed at every run, without a copy. */
  readonly fed: ReadonlyMap<string, Tensor>
}

export interface WeightSource {
  readonly weights: BaseWeights
  readonly accuracy: Accuracy
  /** Where packed weights are kept for a backend that reads files. */
  readonly files?: PackedFiles | undefined
  /**
   * Packed weights that programs share; missing ones are added. Absent: each program has a copy.
   */
  readonly shared?: SharedWeights | undefined
}

/** Packed weights by form and name, each made once. */
export type SharedWeights = Map<string, ReadonlyMap<string, Tensor>>

/**
 * Weight inputs of the graph: packed ones, vectors and convolutions become part of the program,
 * float matrices are fed without a copy. `made`: inputs that exist already.
 */
export async function loadWeightInputs(
  graph: Graph,
  source: WeightSource,
  stacks: readonly LinearStack[],
  made: ReadonlyMap<string, Tensor> = new Map(),
): Promise<WeightInputs> {
  const { weights, files } = source
  const stackOf = new Map(
    stacks.flatMap((stack) => [
      [stack.weight, stack] as const,
      ...(stack.bias ? [[stack.bias, stack] as const] : []),
    ]),
  )
  const initializers = new Map<string, Tensor | FileTensor>(made)
  const fed = new Map<string, Tensor>()
  const parts = listPackedParts(graph, source, stackOf)
  const kept = parts.length > 0 ? await files?.keep(parts) : undefined
  if (kept) for (const [name, tensor] of kept) initializers.set(name, tensor)
  else
    for (const part of parts)
      for (const [name, tensor] of await part.make()) initializers.set(name, tensor)
  for (const { name, role, shape } of graph.inputs) {
    if (role !== 'weight' || made.has(name) || getPackedWeightName(name) !== name) continue
    const stack = stackOf.get(name)
    if (stack) initializers.set(name, await stackBias(stack, weights))
    else (shape.length === 2 ? fed : initializers).set(name, await weights.float(name))
  }
  return { initializers, fed }
}

/** The packed weights of the graph, in the order of its inputs. */
function listPackedParts(
  graph: Graph,
  { weights, accuracy, shared }: WeightSource,
  stackOf: ReadonlyMap<string, LinearStack>,
): PackedPart[] {
  const inputs = new Map<string, GraphInput[]>()
  for (const input of graph.inputs) {
    const weight = getPackedWeightName(input.name)
    if (input.role === 'weight' && weight !== input.name)
      inputs.set(weight, [...(inputs.get(weight) ?? []), input])
  }
  return [...inputs].map(([weight, own]): PackedPart => ({
    tensors: own.map(({ name, dtype, shape }) => ({ name, dtype, shape: shape.map(Number) })),
    make(room) {
      const parts = stackOf.get(weight)?.parts.map((part) => part.weight) ?? [weight]
      const codes = `${weight}.codes`
      // Halves of a weight are computed from its packed form.
      if (!shared || room || !own.some(({ name }) => name === codes))
        return weights
          .packed(parts, room)
          .then((packed) => collectPackedInputs(weight, packed, accuracy))
      const key = JSON.stringify([accuracy, weight, parts])
      return getShared(shared, key, () => {
        const forms = own.map(({ name, dtype, shape }): [string, TensorForm] => [
          name,
          { dtype, shape: shape.map(Number) },
        ])
        const blocks = new FileBlocks(() => weights.blocks(parts))
        return createLazyPacked(new Map(forms), codes, blocks, (tensors) =>
          collectPackedInputs(weight, packWeights(tensors), accuracy),
        )
      })
    },
  }))
}

/** If programs share weights, each weight is in memory at most once, in the file's format. */
async function getShared(
  shared: SharedWeights,
  key: string,
  make: () => ReadonlyMap<string, Tensor>,
): Promise<ReadonlyMap<string, Tensor>> {
  const made = shared.get(key) ?? make()
  shared.set(key, made)
  for (const tensor of made.values()) await findBlocks(tensor)?.load()
  return made
}

async function stackBias({ parts }: LinearStack, weights: BaseWeights): Promise<F32Tensor> {
  const biases = await Promise.all(parts.map(({ bias }) => weights.float(bias!)))
  const values = biases.flatMap(({ data }) => [...data])
  return f32([values.length], values)
}

// The last step of a model apart from the rest: from final hidden states to logits, and an error of
// the logits back to the hidden states. For whoever changes a hidden state before the head or
// learns from it. Knows no layers, no cache and no users.

import { assertInternal, ShapeError } from '../base/errors.ts'
import { f32, type F32Tensor, type Tensor } from '../base/tensor.ts'
import type { Backend, Program } from '../compute/backend.ts'
import {
  type Accuracy,
  collectPackedInputs,
  getPackedWeightName,
  packLinears,
} from '../compute/pack-linears.ts'
import { GraphBuilder } from '../graph/builder.ts'
import type { Graph } from '../graph/ir.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { prune, rewrite } from '../graph/passes/rewrite.ts'
import type { BaseWeights } from './programs/base-weights.ts'

export interface Head {
  readonly width: number // D
  readonly vocabularySize: number // V
  /** Logits [M, V] of hidden states [M, D] as they stand after the last norm. */
  logits(hidden: F32Tensor): Promise<F32Tensor>
  /**
   * W_headᵀ·e for errors e [M, V] of the logits (p − y, say): [M, D]. Takes the head's matrix in
   * f32. A soft cap is not undone.
   */
  pullBack(errors: F32Tensor): Promise<F32Tensor>
  /** Rows of the head's matrix for token ids, one after the other: [ids, D] in f32. */
  rows(ids: readonly number[]): Promise<Float32Array>
  /** logits = cap·tanh(z/cap); 0: none. */
  readonly softcap: number
}

export interface HeadParts {
  readonly model: ModelGraph
  readonly weights: BaseWeights
  readonly backend: Backend
  readonly accuracy: Accuracy
}

/** The head's graph behind its norm: hidden [M, D] → logits [M, V]; and the name of its matrix. */
function buildHeadGraph({ config, blocks }: ModelGraph): { graph: Graph; weight: string } {
  const head = blocks.find(({ kind }) => kind === 'head')
  const hidden = head?.graph.outputs.get('hidden')
  const logits = head?.graph.outputs.get('logits')
  assertInternal(head && hidden && logits, 'a model graph has a head with hidden states and logits')
  const product = head.graph.nodes.find(
    ({ operation, inputs }) => operation === 'linear' && inputs[0]!.name === hidden.name,
  )
  assertInternal(product, 'the head multiplies its hidden states')
  const only = { ...head.graph, outputs: new Map([['logits', logits]]) }
  const graph = rewrite(only, '%head', (g, { output }) =>
    output.name === hidden.name ? g.input('hidden', 'f32', ['M', config.width]) : undefined,
  )
  return { graph: prune(graph), weight: head.prefix + product.inputs[1]!.name }
}

/** The head of a model; its programs are compiled when first needed. */
export function createHead({
  model,
  weights,
  backend,
  accuracy,
}: HeadParts): Head & { dispose(): Promise<void> } {
  const { vocabularySize, width, logitSoftcap: softcap } = model.config
  const { graph, weight } = buildHeadGraph(model)
  const packed = packLinears(graph, weights.formOf, accuracy)
  const forward = compileOnce(async () => {
    const initializers = new Map<string, Tensor>()
    const fed = new Map<string, Tensor>()
    for (const { name, role } of packed.inputs) {
      if (role !== 'weight' || initializers.has(name)) continue
      const base = getPackedWeightName(name)
      if (base === name) fed.set(name, await weights.float(name))
      else
        for (const [input, tensor] of collectPackedInputs(
          base,
          await weights.packed(base),
          accuracy,
        ))
          initializers.set(input, tensor)
    }
    return { program: await backend.compile(packed, { initializers }), fed }
  })
  const backward = compileOnce(async () => {
    const g = new GraphBuilder()
    const matrix = g.input('matrix', 'f32', [vocabularySize, width], 'weight')
    g.output('hidden', g.matmul(g.input('errors', 'f32', ['M', vocabularySize]), matrix))
    return {
      program: await backend.compile(g.build()),
      fed: new Map([['matrix', await weights.float(weight)]]),
    }
  })
  const run = async (
    direction: typeof forward,
    input: string,
    output: string,
    given: F32Tensor,
    columns: number,
  ): Promise<F32Tensor> => {
    if (given.shape.length !== 2 || given.shape[1] !== columns)
      throw new ShapeError(
        `The head takes ${input} of shape [M, ${columns}], got [${given.shape.join(', ')}].`,
      )
    if (given.shape[0] === 0) return f32([0, output === 'logits' ? vocabularySize : width])
    const { program, fed } = await direction.get()
    return (await program.run(new Map<string, Tensor>([...fed, [input, given]]))).get(
      output,
    ) as F32Tensor
  }
  return {
    width,
    vocabularySize,
    softcap,
    logits: (hidden) => run(forward, 'hidden', 'logits', hidden, width),
    pullBack: (errors) => run(backward, 'errors', 'hidden', errors, vocabularySize),
    rows: (ids) => weights.matrixRows(weight, ids),
    async dispose() {
      await Promise.all(
        [forward, backward].map(async ({ made }) => (await made())?.program.dispose()),
      )
    },
  }
}

interface Compiled {
  readonly program: Program
  readonly fed: ReadonlyMap<string, Tensor>
}

/** Made when first asked for. */
function compileOnce(make: () => Promise<Compiled>): {
  get(): Promise<Compiled>
  made(): Promise<Compiled> | undefined
} {
  let made: Promise<Compiled> | undefined
  return { get: () => (made ??= make()), made: () => made }
}

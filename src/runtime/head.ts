// The model's head alone: from final hidden states to logits, and from errors of the logits back to
// the hidden states. Used by learning, which changes hidden states before the head. Independent of
// layers, cache and users.

import { assertInternal, ShapeError } from '../base/errors.ts'
import { f32, type F32Tensor, type Tensor } from '../base/tensor.ts'
import type { Backend, Program } from '../compute/backend.ts'
import { type Accuracy, packLinears } from '../compute/pack-linears.ts'
import { GraphBuilder } from '../graph/builder.ts'
import type { Graph } from '../graph/ir.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { prune, rewrite } from '../graph/passes/rewrite.ts'
import type { BaseWeights } from './programs/base-weights.ts'
import type { ProgramCompiler } from './programs/program-compiler.ts'

export interface Head {
  readonly width: number // D
  readonly vocabularySize: number // V
  /** Logits [M, V] of hidden states [M, D] after the final norm. */
  logits(hidden: F32Tensor): Promise<F32Tensor>
  /**
   * W_headᵀ·e for errors e [M, V] of the logits, such as p − y: [M, D]. Reads the head's matrix in
   * f32. The derivative of a soft cap is not applied.
   */
  pullBack(errors: F32Tensor): Promise<F32Tensor>
  /** Rows of the head's matrix for token ids, one after the other: [ids, D] in f32. */
  rows(ids: readonly number[]): Promise<Float32Array>
  /** logits = cap·tanh(z/cap); 0: none. */
  readonly softcap: number
}

export interface DisposableHead extends Head {
  dispose(): Promise<void>
}

export interface HeadParts {
  readonly model: ModelGraph
  readonly weights: BaseWeights
  readonly backend: Backend
  readonly compiler: ProgramCompiler
  readonly accuracy: Accuracy
}

/** The head's graph after the norm: hidden [M, D] → logits [M, V]; and the name of its matrix. */
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
export function createHead(parts: HeadParts): DisposableHead {
  const { vocabularySize, width, logitSoftcap: softcap } = parts.model.config
  const { graph, weight } = buildHeadGraph(parts.model)
  const forward = compileOnce(() => compileForward(parts, graph))
  const backward = compileOnce(() => compileBackward(parts, weight))
  return {
    width,
    vocabularySize,
    softcap,
    logits: (hidden) =>
      runHead(forward, hidden, {
        input: 'hidden',
        output: 'logits',
        from: width,
        to: vocabularySize,
      }),
    pullBack: (errors) =>
      runHead(backward, errors, {
        input: 'errors',
        output: 'hidden',
        from: vocabularySize,
        to: width,
      }),
    rows: (ids) => parts.weights.matrixRows(weight, ids),
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

/** hidden [M, D] → logits [M, V]: packed weights become part of the program, others are fed. */
async function compileForward(
  { weights, compiler, accuracy }: HeadParts,
  graph: Graph,
): Promise<Compiled> {
  const packed = packLinears(graph, weights.formOf, accuracy)
  const [program] = await compiler.compile([{ graph: packed, stacks: [] }], accuracy)
  assertInternal(program, 'one graph gives one program')
  return { program, fed: new Map() }
}

/** errors [M, V] → hidden [M, D]. */
async function compileBackward(
  { model: { config }, weights, backend }: HeadParts,
  weight: string,
): Promise<Compiled> {
  const { vocabularySize, width } = config
  const g = new GraphBuilder()
  const matrix = g.input('matrix', 'f32', [vocabularySize, width], 'weight')
  g.output('hidden', g.matmul(g.input('errors', 'f32', ['M', vocabularySize]), matrix))
  const program = await backend.compile(g.build())
  return { program, fed: new Map([['matrix', await weights.float(weight)]]) }
}

interface Direction {
  readonly input: string
  readonly output: string
  /** Columns of the input and of the output. */
  readonly from: number
  readonly to: number
}

async function runHead(
  { get }: CompiledOnce,
  given: F32Tensor,
  { input, output, from, to }: Direction,
): Promise<F32Tensor> {
  if (given.shape.length !== 2 || given.shape[1] !== from)
    throw new ShapeError(
      `The head takes ${input} of shape [M, ${from}], got [${given.shape.join(', ')}].`,
    )
  if (given.shape[0] === 0) return f32([0, to])
  const { program, fed } = await get()
  const outputs = await program.run(new Map<string, Tensor>([...fed, [input, given]]))
  return outputs.get(output) as F32Tensor
}

interface CompiledOnce {
  get(): Promise<Compiled>
  /** The compiled program if there is one. */
  made(): Promise<Compiled> | undefined
}

/** Compiles at the first `get`. */
function compileOnce(compile: () => Promise<Compiled>): CompiledOnce {
  let made: Promise<Compiled> | undefined
  return { get: () => (made ??= compile()), made: () => made }
}

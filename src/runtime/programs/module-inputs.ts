// Computes the inputs of chosen linear layers of a base from token ids, for callers that compare
// them with adapters. Layers after the last of these modules are not computed. Independent of
// experts, of the cache and of the head.

import { OptionError } from '../../base/errors.ts'
import type { Tensor } from '../../base/tensor.ts'
import type { Backend } from '../../compute/backend.ts'
import { type Accuracy, packLinears } from '../../compute/pack-linears.ts'
import type { Graph, Value } from '../../graph/ir.ts'
import { composeBlocks, listBlockModules, type ModelGraph } from '../../graph/model-graph.ts'
import type { BaseWeights } from './base-weights.ts'
import { withEmbeddingRows } from './cached-graph.ts'
import { collectCallFeeds } from './call-feeds.ts'
import { loadWeightInputs } from './weight-inputs.ts'

export interface ModuleInputParts {
  readonly model: ModelGraph
  readonly weights: BaseWeights
  readonly backend: Backend
  readonly accuracy: Accuracy
  /** Full paths of linear layers: 'model.layers.3.self_attn.q_proj'. */
  readonly modules: readonly string[]
}

export interface ModuleInputs {
  /** By module [N, T, D_in]; shorter rows are padded; values at padded positions are undefined. */
  run(rows: readonly (readonly number[])[]): Promise<ReadonlyMap<string, Tensor<Float32Array>>>
  dispose(): Promise<void>
}

/** The graph, and for each module the name of the output with its input; modules may share one. */
function buildInputGraph({ model, modules }: ModuleInputParts) {
  const wanted = new Set(modules)
  const blocks = model.blocks.filter(({ kind }) => kind !== 'head')
  const paths = blocks.map((block) =>
    listBlockModules(block).flatMap(({ kind, path }) =>
      kind === 'linear' && wanted.has(path) ? [path] : [],
    ),
  )
  const known = new Set(paths.flat())
  const missing = modules.filter((path) => !known.has(path))
  if (missing.length > 0 || modules.length === 0)
    throw new OptionError(
      `modules: the model has no linear layer ${missing.slice(0, 3).join(', ')} before its head.`,
    )
  const last = paths.findLastIndex((own) => own.length > 0)
  const graph = composeBlocks(blocks.slice(0, last + 1))
  const outputs = new Map<string, Value>()
  const outputOf = new Map<string, string>()
  for (const { operation, attributes, inputs } of graph.nodes) {
    const path = String(attributes['module'])
    if (operation !== 'linear' || !wanted.has(path)) continue
    const [x] = inputs
    outputs.set(`input:${x!.name}`, x!)
    outputOf.set(path, `input:${x!.name}`)
  }
  return { graph: withEmbeddingRows({ ...graph, outputs } satisfies Graph), outputOf }
}

/** Compiles the program. Throws OptionError for modules that the model does not have. */
export async function createModuleInputs(parts: ModuleInputParts): Promise<ModuleInputs> {
  const { model, weights, backend, accuracy } = parts
  const { graph, outputOf } = buildInputGraph(parts)
  const packed = packLinears(graph, (weight) => weights.formOf(weight), accuracy)
  const { initializers, fed } = await loadWeightInputs(packed, parts, [])
  const program = await backend.compile(packed, { initializers })
  return {
    async run(rows) {
      const feeds = await collectCallFeeds(
        { config: model.config, weights },
        { pieces: rows, lengths: rows.map(() => 0), capacity: 0 },
      )
      const results = await program.run(new Map<string, Tensor>([...fed, ...feeds]))
      return new Map(
        [...outputOf].map(([path, name]) => [path, results.get(name) as Tensor<Float32Array>]),
      )
    },
    dispose: () => program.dispose(),
  }
}

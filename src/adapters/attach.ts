// Attaches an adapter: a pass over the blocks that adds the adapter's computation to every target
// layer, with the adapter's tensors as inputs.

import { assertInternal, OptionError, UnsupportedError } from '../base/errors.ts'
import { checkOptions, flag } from '../base/schema.ts'
import type { GraphBuilder } from '../graph/builder.ts'
import type { Value } from '../graph/ir.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { buildActivation } from './activation.ts'
import type { Adapter } from './adapter.ts'
import { headPath, toDropoutName } from './keys.ts'
import type { AdapterConfig, AdapterKind, ParameterSpec, AdaptedLayer } from './kinds/kind.ts'
import { getKind } from './kinds/kind-table.ts'
import { withSavedModules } from './saved-modules.ts'
import { buildTokenRows, findTokenTable, listTokenTables } from './trainable-tokens.ts'
import { listAdaptableModules, mapLayers, type AdaptableLayer } from './adapted-layers.ts'

export interface AttachOptions {
  /**
   * With dropout in the configuration, each adapted layer gets a feed `dropout:<module>` with the
   * shape of its input.
   */
  readonly training?: boolean
}

const attachOptions = { training: flag() }

/**
 * The model with the adapter's low-rank branches. Each adapter tensor is an input with the role
 * 'adapter', named within its block, so that block.prefix + name is its PEFT key without
 * 'base_model.model.'. Base weights keep their names. Layers of equal structure share one graph.
 */
export const attach = (
  model: ModelGraph,
  { kind, config }: Pick<Adapter, 'kind' | 'config'>,
  options: AttachOptions = {},
): ModelGraph => attachKind(model, getKind(kind), config, options)

/** The same for a kind that need not be in the table. */
export function attachKind<Config extends AdapterConfig>(
  model: ModelGraph,
  kind: AdapterKind<Config>,
  config: Config,
  options: AttachOptions = {},
): ModelGraph {
  checkOptions('attach options', options, attachOptions)
  const { training = false } = options
  const shared = kind.shared?.(config, listAdaptableModules(model), model.config) ?? []
  let touched = 0
  const tables = listTokenTables(config, model)
  const embedding = findTiedTensors(model, kind, config)
  const attached = mapLayers(withSavedModules(model, config), (g, layer, claim) => {
    const tied = layer.module.path === headPath ? embedding : undefined
    const specs = tied?.specs ?? kind.parameters(config, layer.module)
    const table = findTokenTable(tables, layer, model.config.tiedEmbeddings)
    if (specs.length === 0 && !table) return undefined
    touched++
    const own = { path: tied?.path ?? layer.name, specs, shared }
    const adapted = createAdaptedLayer(g, layer, own, { training, claim })
    const apply = tied ? kind.applyTied! : kind.apply
    const y = specs.length === 0 ? adapted.base() : apply(g, adapted, config)
    return table ? buildTokenRows(g, layer, y, table) : y
  })
  const blocks = attached.blocks.map(
    (block) => kind.applyToBlock?.(block, config, model.config) ?? block,
  )
  if (touched === 0 && blocks.every((block, i) => block === attached.blocks[i]))
    throw new OptionError(
      `The ${kind.name} adapter changes no layer of this model; was it made for another one?`,
    )
  const virtualTokens = kind.virtualTokens?.(config)
  return {
    blocks,
    config: virtualTokens === undefined ? model.config : { ...model.config, virtualTokens },
  }
}

interface OwnTensors {
  /** The module's path inside the block; of a tied head the embedding's. */
  readonly path: string
  readonly specs: readonly ParameterSpec[]
  /** Those of no single module. */
  readonly shared: readonly ParameterSpec[]
}

/**
 * The embedding's tensors that also act on a head with the same weight; undefined if there are
 * none.
 */
function findTiedTensors<Config extends AdapterConfig>(
  model: ModelGraph,
  kind: AdapterKind<Config>,
  config: Config,
): Omit<OwnTensors, 'shared'> | undefined {
  if (!config.ensureWeightTying || !model.config.tiedEmbeddings) return undefined
  const embedding = listAdaptableModules(model).find((module) => module.kind === 'embedding')
  const specs = embedding ? kind.parameters(config, embedding) : []
  if (!embedding || specs.length === 0) return undefined
  if (kind.applyTied) return { path: embedding.path, specs }
  throw new UnsupportedError(
    `${embedding.path}: a ${kind.name} adapter cannot act on embedding and head as one (ensureWeightTying).`,
  )
}

interface LayerContext {
  readonly training: boolean
  claim(inputName: string): void
}

function createAdaptedLayer(
  g: GraphBuilder,
  layer: AdaptableLayer,
  own: OwnTensors,
  { training, claim }: LayerContext,
): AdaptedLayer {
  const { module, name, x, weight, bias } = layer
  return {
    module,
    x,
    weight,
    bias,
    parameter(wanted) {
      const spec = own.specs.find((candidate) => candidate.name === wanted)
      const common = own.shared.find((candidate) => candidate.name === wanted)
      if (spec) {
        claim(`${own.path}.${wanted}`)
        return g.input(`${own.path}.${wanted}`, 'f32', spec.shape, 'adapter')
      }
      assertInternal(common, `${module.path} has no parameter "${wanted}"`)
      // not named within its block: one for all of them
      return g.input(wanted, 'f32', common.shape, 'feed')
    },
    base: (changes = {}) => buildBaseOutput(g, layer, changes),
    dropout: (value) =>
      training
        ? g.multiply(value, g.input(toDropoutName(name), 'f32', value.shape, 'feed'))
        : value,
    activation: () => buildActivation(g, x),
  }
}

function buildBaseOutput(
  g: GraphBuilder,
  { node, module, weight, x, bias }: AdaptableLayer,
  changes: { x?: Value; bias?: Value },
): Value {
  const { operation, inputs, attributes } = node
  if (operation === 'embedding') return g.op('embedding', inputs, attributes)
  const wantedX = changes.x ?? x
  if (weight) {
    const wantedBias = changes.bias ?? bias
    return g.op(
      'linear',
      wantedBias ? [wantedX, weight, wantedBias] : [wantedX, weight],
      attributes,
    )
  }
  if (changes.bias)
    throw new UnsupportedError(
      `${module.path}: its bias cannot be replaced while the base is packed in blocks.`,
    )
  return g.op(operation, [wantedX, ...inputs.slice(1)], attributes)
}

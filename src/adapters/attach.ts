// Attaches an adapter: a pass over the blocks that adds the adapter's computation to every target
// layer, with the adapter's tensors as inputs.

import { assertInternal, OptionError, UnsupportedError } from '../base/errors.ts'
import { checkOptions, flag } from '../base/schema.ts'
import type { GraphBuilder } from '../graph/builder.ts'
import type { Value } from '../graph/ir.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { buildActivation } from './activation.ts'
import type { Adapter } from './adapter.ts'
import { toDropoutName } from './keys.ts'
import type { AdapterConfig, AdapterKind, ParameterSpec, AdaptedLayer } from './kinds/kind.ts'
import { getKind } from './kinds/kind-table.ts'
import { withSavedModules } from './saved-modules.ts'
import { areTokensIn, buildTokenRows, listTokenSpecs } from './trainable-tokens.ts'
import { listAdaptableModules, mapLayers, type AdaptableLayer } from './adapted-layers.ts'

export interface AttachOptions {
  /**
   * Where the configuration has dropout: each touched layer gets a feed `dropout:<module>` of the
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
  const [rows] = listTokenSpecs(config, model)
  const tokenRows = rows && { path: rows.path, tokens: config.trainableTokens! }
  const attached = mapLayers(withSavedModules(model, config), (g, layer, claim) => {
    const own = kind.parameters(config, layer.module)
    const hasTokens = areTokensIn(config, layer, model.config.tiedEmbeddings)
    if (own.length === 0 && !hasTokens) return undefined
    touched++
    const adapted = createAdaptedLayer(g, layer, own, shared, { training, claim })
    const y = own.length === 0 ? adapted.base() : kind.apply(g, adapted, config)
    return hasTokens ? buildTokenRows(g, layer, y, tokenRows!) : y
  })
  const blocks = attached.blocks.map(
    (block) => kind.applyToBlock?.(block, config, model.config) ?? block,
  )
  if (touched === 0 && blocks.every((block, i) => block === attached.blocks[i]))
    throw new OptionError(
      `The ${kind.name} adapter touches no layer of this model; was it made for another one?`,
    )
  const virtualTokens = kind.virtualTokens?.(config)
  return {
    blocks,
    config: virtualTokens === undefined ? model.config : { ...model.config, virtualTokens },
  }
}

interface LayerContext {
  readonly training: boolean
  claim(inputName: string): void
}

function createAdaptedLayer(
  g: GraphBuilder,
  layer: AdaptableLayer,
  own: readonly ParameterSpec[],
  shared: readonly ParameterSpec[],
  { training, claim }: LayerContext,
): AdaptedLayer {
  const { module, name, x, weight, bias } = layer
  return {
    module,
    x,
    weight,
    bias,
    parameter(wanted) {
      const spec = own.find((candidate) => candidate.name === wanted)
      const common = shared.find((candidate) => candidate.name === wanted)
      if (spec) {
        claim(`${name}.${wanted}`)
        return g.input(`${name}.${wanted}`, 'f32', spec.shape, 'adapter')
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

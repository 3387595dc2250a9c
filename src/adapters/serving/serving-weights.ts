// Computes the serving weights of an adapter's modules, once: for most kinds at most two small
// matrices and three vectors per layer. Independent of slots and programs.

import { OptionError, UnsupportedError } from '../../base/errors.ts'
import type { Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import type { ModelGraph } from '../../graph/model-graph.ts'
import { createBaseReader, type Adapter } from '../adapter.ts'
import { findBaseCopyPath } from '../base-copy.ts'
import { toPeftKey } from '../keys.ts'
import type { ServingWeights, WeightOf } from '../kinds/kind.ts'
import { getKind } from '../kinds/kind-table.ts'
import { tokenRowsName } from '../trainable-tokens.ts'
import { listBlockLayers } from '../adapted-layers.ts'

/** By module path; a missing module is unchanged. */
export type ServingWeightMap = ReadonlyMap<string, ServingWeights>

/** One error for everything that keeps an adapter from being served by feeding tensors. */
export const createServingError = (problems: readonly string[]): UnsupportedError =>
  new UnsupportedError(
    `The adapter cannot be served from these slots:\n  ${problems.join('\n  ')}\nUse attach, or slots that have room for it.`,
  )

/** Why a tensor is not part of any layer's serving weights. */
function describeUnused(key: string): string {
  if (key.endsWith(tokenRowsName)) return 'single tokens are trained, which do not fit a slot'
  const isWhole = !/lora_|ia3_|lokr_|hada_|vera_/.test(key) && /\.(weight|bias)$/.test(key)
  return isWhole ? 'is saved whole, which does not fit a slot' : 'the model has no layer for it'
}

/**
 * Visits the layers; yields the names of the base weights that the next layer needs, and expects a
 * reader.
 */
function* collectServingWeights(
  { kind, config, tensors }: Adapter,
  model: ModelGraph,
): Generator<readonly string[], Map<string, ServingWeights>, WeightOf | undefined> {
  const row = getKind(kind)
  const forms = new Map<string, ServingWeights>()
  const problems: string[] = []
  const unused = new Set([...tensors.keys()].filter((key) => findBaseCopyPath(key) === undefined))
  for (const block of model.blocks) {
    for (const layer of listBlockLayers(block)) {
      const { module, weight, bias } = layer
      if (row.parameters(config, module).length === 0) continue
      const tensor = (name: string): Float32Array => {
        const key = toPeftKey(`${module.path}.${name}`)
        const found = tensors.get(key) ?? tensors.get(name)
        unused.delete(tensors.has(key) ? key : name)
        if (!found)
          throw new OptionError(
            `The adapter has no tensor "${module.path}.${name}"; check it against the model first.`,
          )
        return toFloat32(found)
      }
      const needed = row.servesFromBase
        ? [weight, bias].flatMap((value) => (value ? [block.prefix + value.name] : []))
        : []
      const base = createBaseReader(
        layer,
        block.prefix,
        needed.length > 0 ? yield needed : undefined,
      )
      const form = row.serve?.(config, { module, tensor, base })
      if (form) forms.set(module.path, form)
      else
        problems.push(`${module.path}: a ${kind} adapter of this configuration has no serving form`)
    }
  }
  // A model with stacked layers has other modules than the adapter, and must not be mistaken for
  // one that the adapter does not change.
  if (problems.length === 0)
    problems.push(...[...unused].map((key) => `${key}: ${describeUnused(key)}`))
  if (problems.length > 0) throw createServingError(problems)
  return forms
}

/**
 * The serving weights of an adapter. `weightOf` is read by kinds that serve from the base (DoRA).
 * Throws UnsupportedError listing the modules without any.
 */
export function computeServingWeights(
  adapter: Adapter,
  model: ModelGraph,
  weightOf?: WeightOf,
): ServingWeightMap {
  const going = collectServingWeights(adapter, model)
  let step = going.next()
  while (!step.done) step = going.next(weightOf)
  return step.value
}

/** The same with base weights read as they are needed, one layer's at a time. */
export async function readServingWeights(
  adapter: Adapter,
  model: ModelGraph,
  read: (name: string) => Promise<Tensor>,
): Promise<ServingWeightMap> {
  const going = collectServingWeights(adapter, model)
  let step = going.next()
  while (!step.done) {
    const weights = new Map<string, Tensor>()
    for (const name of step.value) weights.set(name, await read(name))
    step = going.next((name) => weights.get(name)!)
  }
  return step.value
}

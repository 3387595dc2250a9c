// Where a LoRA adapter changes a linear layer: the keys, rank and scale that importance and penalty
// need.

import { UnsupportedError } from '../../base/errors.ts'
import type { Adapter } from '../../adapters/adapter.ts'
import { toPeftKey } from '../../adapters/keys.ts'
import type { LoraConfig } from '../../adapters/kinds/lora-config.ts'
import { loraParts, resolveRankAndScale } from '../../adapters/kinds/lora.ts'
import { listAdaptableModules } from '../../adapters/adapted-layers.ts'
import type { ModelGraph } from '../../graph/model-graph.ts'

export interface LoraLayer {
  /** The module's path. */
  readonly path: string
  readonly rank: number
  readonly scale: number
  /** PEFT keys of A and B. */
  readonly a: string
  readonly b: string
  readonly inFeatures: number
  readonly outFeatures: number
}

/**
 * The linear layers that the adapter changes. Throws UnsupportedError if it is not a LoRA, or
 * trains what is no linear layer's A or B.
 */
export function listLoraLayers(
  graph: ModelGraph,
  { kind, config, tensors }: Pick<Adapter, 'kind' | 'config' | 'tensors'>,
): LoraLayer[] {
  if (kind !== 'lora')
    throw new UnsupportedError(
      `EWC protects the changes of LoRA adapters; this one is of kind ${kind}. Train a LoRA, or leave EWC out.`,
    )
  if ((config as LoraConfig).start === 'mica')
    throw new UnsupportedError(
      'EWC protects A and B; of an adapter that starts from minor components (mica) only A is trained. Choose another start, or leave EWC out.',
    )
  const sites = listAdaptableModules(graph).flatMap((module) => {
    const a = toPeftKey(`${module.path}.${loraParts.a}`)
    const b = toPeftKey(`${module.path}.${loraParts.b}`)
    if (module.kind !== 'linear' || !tensors.has(a)) return []
    const { inFeatures, outFeatures, path } = module
    return [
      { path, a, b, inFeatures, outFeatures, ...resolveRankAndScale(config as LoraConfig, module) },
    ]
  })
  const known = new Set(sites.flatMap(({ a, b }) => [a, b]))
  const others = [...tensors.keys()].filter((key) => !known.has(key))
  if (others.length > 0)
    throw new UnsupportedError(
      `EWC protects the A and B of linear layers; this adapter also trains ${others.slice(0, 8).join(', ')}. Leave these out, or EWC.`,
    )
  return sites
}

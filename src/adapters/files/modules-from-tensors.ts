// Infers an adapter's modules from its tensors, to inspect it without its base. Empty for kinds
// whose tensors do not determine the sizes.

import type { ModuleInfo } from '../../graph/model-graph.ts'
import type { Adapter } from '../adapter.ts'
import { toInputName, toPeftKey } from '../keys.ts'
import { getKind } from '../kinds/kind-table.ts'

/**
 * In the order of the tensors. `bias` is always false, because tensors do not reveal it.
 */
export function inferModules({ kind, tensors }: Pick<Adapter, 'kind' | 'tensors'>): ModuleInfo[] {
  const { sizes } = getKind(kind)
  if (!sizes) return []
  const paths = new Set([...tensors.keys()].flatMap(listOwners))
  return [...paths].flatMap((path): ModuleInfo[] => {
    const inferred = sizes((name) => tensors.get(toPeftKey(`${path}.${name}`))?.shape)
    if (!inferred) return []
    const layer = /\.(\d+)\./.exec(`.${path}.`)?.[1]
    return [
      { path, ...inferred, bias: false, ...(layer === undefined ? {} : { layer: Number(layer) }) },
    ]
  })
}

/** Names of tensors have one part or two: 'hada_w1_a', 'lora_A.weight'. */
function listOwners(key: string): string[] {
  const parts = toInputName(key).split('.')
  return [parts.slice(0, -2).join('.'), parts.slice(0, -1).join('.')].filter((path) => path !== '')
}

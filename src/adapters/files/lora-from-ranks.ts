// Infers LoRA's configuration from files of other tools: modules, ranks and scales. Independent of
// file formats.

import type { ModelGraph, ModuleInfo } from '../../graph/model-graph.ts'
import { completeLora, type LoraConfig } from '../kinds/lora-config.ts'
import { listAdaptableModules } from '../adapted-layers.ts'

/**
 * The configuration of exactly these modules: the most common rank is the configuration's rank,
 * others become patterns; the same for alphas.
 */
export function inferLoraConfig(
  ranks: ReadonlyMap<string, number>,
  alphaOf: (rank: number) => number,
  model: ModelGraph,
): LoraConfig {
  const rank = selectMostCommon([...ranks.values()])
  const others = [...ranks].filter(([, one]) => one !== rank)
  const patterns = (valueOf: (rank: number) => number, otherwise: number): Record<string, number> =>
    Object.fromEntries(
      others.flatMap(([path, one]) =>
        valueOf(one) === otherwise ? [] : [[`^${path.replaceAll('.', '\\.')}`, valueOf(one)]],
      ),
    )
  const config = completeLora({
    rank,
    targets: inferTargets([...ranks.keys()], listAdaptableModules(model)),
    rankPattern: patterns((one) => one, rank),
  })
  // a file may hold an alpha that is refused as an option
  const alpha = alphaOf(rank)
  return { ...config, alpha, alphaPattern: patterns(alphaOf, alpha) }
}

function selectMostCommon(values: readonly number[]): number {
  const count = (value: number): number => values.filter((other) => other === value).length
  return values.reduce((best, value) => (count(value) > count(best) ? value : best), values[0] ?? 1)
}

/** The last parts of the paths if they match exactly these modules, else whole paths. */
function inferTargets(paths: readonly string[], modules: readonly ModuleInfo[]): string[] {
  const last = (path: string): string => path.slice(path.lastIndexOf('.') + 1)
  const names = [...new Set(paths.map(last))]
  const hit = modules.filter(({ path }) => names.includes(last(path)))
  return hit.length === paths.length ? names : [...paths]
}

// Target modules of a fast tier: the head alone, or modules of the model's layers. A table of named
// choices, and their resolution in one model. Independent of tensors.

import { resolvePreset } from '../../adapters/presets.ts'
import { selectTargetModules } from '../../adapters/targets.ts'
import { OptionError } from '../../base/errors.ts'
import { findNearestName } from '../../base/suggest.ts'
import { type ModelGraph, listModules } from '../../graph/model-graph.ts'
import type { TierTargets } from './tier-options.ts'

/**
 * Name → preset of adapters that lists its modules; undefined: no module, the tier changes the final
 * hidden state.
 */
export const targetStrategies: ReadonlyMap<
  string,
  { readonly about: string; readonly targets: string | undefined }
> = new Map([
  [
    'head',
    {
      about: 'the final hidden state before the head: no backward pass through any layer',
      targets: undefined,
    },
  ],
  ['attention', { about: 'queries, keys, values and output of attention', targets: 'attention' }],
  ['feed-forward', { about: 'the linear layers of the feed-forward part', targets: 'mlp' }],
  ['all-linear', { about: 'every linear layer of the layers', targets: 'all-linear' }],
])

/** Targets in one model. */
export interface ResolvedTargets {
  /** The lowest layer with a target module. */
  readonly lowest: number
  readonly layers: readonly number[]
  /** Names for an adapter's configuration. */
  readonly targets: readonly string[]
  /** Paths, in the model's order. */
  readonly modules: readonly string[]
  readonly top: number | undefined
}

function resolveLayers(
  layers: TierTargets['layers'],
  count: number,
): { layers: number[]; problems: string[] } {
  const all = Array.from({ length: count }, (_, layer) => layer)
  if (layers === undefined) return { layers: all, problems: [] }
  if ('last' in layers) {
    const fits = Number.isInteger(layers.last) && layers.last >= 1 && layers.last <= count
    return {
      layers: all.slice(-layers.last),
      problems: fits
        ? []
        : [`layers.last: got ${layers.last}, expected an integer from 1 to ${count}`],
    }
  }
  const numbers = [...new Set(layers)].toSorted((a, b) => a - b)
  const missing = numbers.filter((layer) => !all.includes(layer))
  return {
    layers: numbers,
    problems: [
      ...(numbers.length === 0 ? ['layers is empty, expected at least one layer'] : []),
      ...(missing.length > 0
        ? [`there is no layer ${missing.join(', ')} (the model has ${count}, from 0)`]
        : []),
    ],
  }
}

/** Whether the fast tier is at the head, where it needs no backward pass through layers. */
export const isAtHead = ({ modules }: TierTargets): boolean =>
  typeof modules === 'string' &&
  targetStrategies.get(modules)?.targets === undefined &&
  targetStrategies.has(modules)

/** What is wrong with `modules`, apart from module names, which only the model can tell. */
function findModuleProblems(modules: TierTargets['modules']): string[] {
  if (typeof modules !== 'string') return modules === undefined ? ['modules is missing'] : []
  const strategy = targetStrategies.get(modules)
  if (strategy) return strategy.targets === undefined ? ['"head" is not a module of any layer'] : []
  const names = [...targetStrategies.keys()]
  const meant = findNearestName(modules, names)
  const hint = meant === undefined ? '' : ` Did you mean "${meant}"?`
  return [
    `there is no strategy "${modules}"; there are ${names.join(', ')}, or a list of module names.${hint}`,
  ]
}

/**
 * The modules that `where` selects in a model. Throws OptionError that lists everything wrong with
 * it, and the valid choices.
 */
export function resolveTargets(
  model: ModelGraph,
  { modules, layers: wanted, top }: TierTargets,
): ResolvedTargets {
  const strategy = typeof modules === 'string' ? targetStrategies.get(modules) : undefined
  const { layers, problems } = resolveLayers(wanted, model.config.layers.length)
  problems.push(...findModuleProblems(modules))
  if (problems.length > 0)
    throw new OptionError(`Fast tier on layers, where: ${problems.join('; ')}.`)
  const inLayers = listModules(model).filter(
    ({ layer, kind }) => layer !== undefined && kind === 'linear',
  )
  const targets = resolvePreset(strategy?.targets ?? modules, inLayers) as readonly string[]
  const selected = selectTargetModules(
    { targets, exclude: [], layers, layersPattern: [] },
    inLayers,
  )
  return {
    lowest: Math.min(...selected.map(({ layer }) => layer!)),
    layers,
    targets,
    top,
    modules: selected.map(({ path }) => path),
  }
}

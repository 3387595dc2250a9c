// Target modules of a fast tier: the head alone, or modules of the model's layers, by the presets
// of adapters. Independent of tensors.

import { joinProblems } from '../../base/schema.ts'
import { resolvePreset, targetPresets } from '../../adapters/presets.ts'
import { selectTargetModules } from '../../adapters/targets.ts'
import { OptionError } from '../../base/errors.ts'
import { findNearestName } from '../../base/suggest.ts'
import { type ModelGraph, listModules } from '../../graph/model-graph.ts'
import type { LayerChoice, TierTargets } from './tier-options.ts'

/** Older names of presets. */
const otherNames: ReadonlyMap<string, string> = new Map([['feed-forward', 'mlp']])

/** 'head' changes the final hidden state; the others are the presets of adapters. */
const targetNames: readonly string[] = ['head', ...targetPresets.keys(), ...otherNames.keys()]

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

const isNumberList = (layers: LayerChoice): layers is readonly number[] => Array.isArray(layers)

/** Numbers of layers in a model that has `count`, and what is wrong with them. */
export function resolveLayers(
  layers: LayerChoice | undefined,
  count: number,
): { layers: number[]; problems: string[] } {
  const all = Array.from({ length: count }, (_, layer) => layer)
  if (layers === undefined) return { layers: all, problems: [] }
  if (!isNumberList(layers)) {
    const { last = 0 } = layers
    const fits = Number.isInteger(last) && last >= 1 && last <= count
    return {
      layers: all.slice(-last),
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
export const isAtHead = ({ modules }: TierTargets): boolean => modules === 'head'

/** Mistakes in `modules`, apart from module names, which only the model can check. */
function findModuleProblems(modules: TierTargets['modules']): string[] {
  if (typeof modules !== 'string') return modules === undefined ? ['modules is missing'] : []
  if (modules === 'head') return ['"head" is not a module of any layer']
  if (targetNames.includes(modules)) return []
  const meant = findNearestName(modules, targetNames)
  const hint = meant === undefined ? '' : ` Did you mean "${meant}"?`
  return [
    `there is no strategy "${modules}"; there are ${targetNames.join(', ')}, or a list of module names.${hint}`,
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
  const { layers, problems } = resolveLayers(wanted, model.config.layers.length)
  problems.push(...findModuleProblems(modules))
  if (problems.length > 0)
    throw new OptionError(`Fast tier on layers, where: ${joinProblems(problems)}`)
  const inLayers = listModules(model).filter(
    ({ layer, kind }) => layer !== undefined && kind === 'linear',
  )
  const preset = typeof modules === 'string' ? (otherNames.get(modules) ?? modules) : modules
  const targets = resolvePreset(preset, inLayers) as readonly string[]
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

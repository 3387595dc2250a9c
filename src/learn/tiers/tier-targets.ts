// Where a user's fast tier lies: at the head alone, or in modules of the model's layers. A table of
// strategies, and a choice as the modules of one model. Knows no tensors.

import { resolvePreset } from '../../adapters/presets.ts'
import { selectTargetModules } from '../../adapters/targets.ts'
import { OptionError } from '../../base/errors.ts'
import { type ModelGraph, listModules } from '../../graph/model-graph.ts'

/** `{ modules: 'all-linear', layers: { last: 2 } }` */
export interface TierTargets {
  /** A row of `strategies`, or ends of module names ('v_proj'). */
  readonly modules: string | readonly string[]
  /**
   * Numbers of layers, or the last ones; all unless given. What lies in front of the lowest is
   * never gone through again.
   */
  readonly layers?: readonly number[] | { readonly last: number }
  /**
   * Steps go only to this many of the modules, those whose gradients have been largest; all unless
   * given.
   */
  readonly top?: number
}

/**
 * Which modules each name stands for, as the presets of adapters call them; undefined: no module,
 * the final hidden state itself.
 */
export const targetStrategies: ReadonlyMap<
  string,
  { readonly about: string; readonly targets: string | undefined }
> = new Map([
  [
    'head',
    {
      about: 'the final hidden state before the head: no way back through any layer',
      targets: undefined,
    },
  ],
  ['attention', { about: 'queries, keys, values and output of attention', targets: 'attention' }],
  ['feed-forward', { about: 'the linear layers of the feed-forward part', targets: 'mlp' }],
  ['all-linear', { about: 'every linear layer of the layers', targets: 'all-linear' }],
])

/** A choice in one model. */
export interface ResolvedTargets {
  /** The lowest layer that is touched. */
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
        : [`layers.last is ${layers.last}, expected a whole number from 1 to ${count}`],
    }
  }
  const own = [...new Set(layers)].toSorted((a, b) => a - b)
  const missing = own.filter((layer) => !all.includes(layer))
  return {
    layers: own,
    problems: [
      ...(own.length === 0 ? ['layers names no layer'] : []),
      ...(missing.length > 0
        ? [`there is no layer ${missing.join(', ')} (the model has ${count}, from 0)`]
        : []),
    ],
  }
}

/** Whether the fast tier lies at the head, where it needs no way back. */
export const isAtHead = ({ modules }: TierTargets): boolean =>
  typeof modules === 'string' &&
  targetStrategies.get(modules)?.targets === undefined &&
  targetStrategies.has(modules)

/**
 * The modules of a choice. Throws OptionError that lists everything wrong with it, and what there
 * is.
 */
export function resolveTargets(
  model: ModelGraph,
  { modules, layers: wanted, top }: TierTargets,
): ResolvedTargets {
  const strategy = typeof modules === 'string' ? targetStrategies.get(modules) : undefined
  const { layers, problems } = resolveLayers(wanted, model.config.layers.length)
  if (typeof modules === 'string' && !strategy)
    problems.push(
      `there is no strategy "${modules}"; there are ${[...targetStrategies.keys()].join(', ')}, or a list of module names`,
    )
  else if (strategy && strategy.targets === undefined) problems.push('"head" lies in no layer')
  if (top !== undefined && !(Number.isInteger(top) && top >= 1))
    problems.push(`top is ${top}, expected a whole number above 0`)
  if (problems.length > 0) throw new OptionError(`Places of a fast tier: ${problems.join('; ')}.`)
  const inLayers = listModules(model).filter(
    ({ layer, kind }) => layer !== undefined && kind === 'linear',
  )
  const targets = resolvePreset(strategy?.targets ?? modules, inLayers) as readonly string[]
  const hit = selectTargetModules({ targets, exclude: [], layers, layersPattern: [] }, inLayers)
  return {
    lowest: Math.min(...hit.map(({ layer }) => layer!)),
    layers,
    targets,
    top,
    modules: hit.map(({ path }) => path),
  }
}

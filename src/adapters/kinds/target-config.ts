// The configuration of target modules that several kinds share: a user's options and the keys of
// adapter_config.json.

import { either, listOf, naturalNumber, number, record, string } from '../../base/schema.ts'
import type { AdapterConfig, PeftJson } from './kind.ts'
import type { GivenOptions } from '../../base/schema.ts'

const names = either(string(), listOf(string()))

/** A user's options. */
export const targetOptions = {
  targets: names,
  exclude: names,
  layers: listOf(naturalNumber),
  layersPattern: listOf(string()),
  modulesToSave: listOf(string()),
  peft: record,
}

export const targetDefaults = {
  targets: 'default',
  exclude: [],
  layersPattern: [],
  dropout: 0,
} as const

/**
 * An alpha of 0 makes every gradient 0, and one below 0 is a mistake. Files may hold either, and
 * are read as they are.
 */
export const positiveAlpha = number({ above: 0 })

/** PEFT's keys. */
export const targetKeys = {
  target_modules: names,
  exclude_modules: names,
  layers_to_transform: either(naturalNumber, listOf(naturalNumber)),
  layers_pattern: names,
  modules_to_save: listOf(string()),
}

/** An empty string is no item: PEFT treats `layers_pattern: ""` as absent. */
const asList = <Item>(value: Item | readonly Item[] | undefined): readonly Item[] =>
  (value === undefined
    ? []
    : Array.isArray(value)
      ? (value as readonly Item[])
      : [value as Item]
  ).filter((item) => item !== '')

export function readTargets(read: GivenOptions<typeof targetKeys>, json: PeftJson): AdapterConfig {
  const layers = asList(read.layers_to_transform)
  return {
    targets: read.target_modules ?? [],
    exclude: read.exclude_modules ?? [],
    ...(layers.length > 0 ? { layers } : {}),
    ...(read.modules_to_save && read.modules_to_save.length > 0
      ? { modulesToSave: read.modules_to_save }
      : {}),
    layersPattern: asList(read.layers_pattern),
    dropout: 0,
    peft: json,
  }
}

/**
 * The keys of the choice. A list whose content did not change keeps its original form. `layers` is
 * false for kinds whose PEFT configuration has no layers_to_transform.
 */
export function writeTargets(config: AdapterConfig, layers = true): PeftJson {
  const some = (list: readonly unknown[] | string): unknown => (list.length > 0 ? list : null)
  const kept = (key: string, now: readonly unknown[]): unknown => {
    const before = config.peft?.[key]
    return before !== undefined &&
      JSON.stringify(asList(before ?? undefined)) === JSON.stringify(now)
      ? before
      : some(now)
  }
  return {
    target_modules: config.targets,
    exclude_modules: some(config.exclude),
    modules_to_save: kept('modules_to_save', config.modulesToSave ?? []),
    ...(layers
      ? {
          layers_to_transform: kept('layers_to_transform', config.layers ?? []),
          layers_pattern: kept('layers_pattern', config.layersPattern),
        }
      : {}),
  }
}

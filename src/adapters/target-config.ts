// The part of a configuration that kinds which act on modules share: which modules, in a user's words and in adapter_config.json's.

import { either, listOf, naturalNumber, record, text } from './fields.ts'
import type { AdapterConfig, PeftJson } from './kind.ts'
import type { ValuesOf } from './fields.ts'

const names = either(text, listOf(text))

/** What users may give. */
export const targetOptions = {
  targets: names,
  exclude: names,
  layers: listOf(naturalNumber),
  layersPattern: listOf(text),
  peft: record,
}

export const targetDefaults = { targets: 'default', exclude: [], layersPattern: [], dropout: 0 } as const

/** PEFT's keys. */
export const targetKeys = {
  target_modules: names,
  exclude_modules: names,
  layers_to_transform: either(naturalNumber, listOf(naturalNumber)),
  layers_pattern: names,
}

const asList = <Item>(value: Item | readonly Item[] | undefined): readonly Item[] =>
  value === undefined ? [] : Array.isArray(value) ? (value as readonly Item[]) : [value as Item]

export function readTargets(read: ValuesOf<typeof targetKeys>, json: PeftJson): AdapterConfig {
  const layers = asList(read.layers_to_transform)
  return {
    targets: read.target_modules ?? [],
    exclude: read.exclude_modules ?? [],
    ...(layers.length > 0 ? { layers } : {}),
    layersPattern: asList(read.layers_pattern),
    dropout: 0,
    peft: json,
  }
}

/** The keys of the choice; `layers` is false for kinds whose PEFT configuration has no layers_to_transform. */
export function writeTargets(config: AdapterConfig, layers = true): PeftJson {
  const some = (list: readonly unknown[] | string): unknown => (list.length > 0 ? list : null)
  return {
    target_modules: config.targets,
    exclude_modules: some(config.exclude),
    ...(layers ? { layers_to_transform: some(config.layers ?? []), layers_pattern: some(config.layersPattern) } : {}),
  }
}

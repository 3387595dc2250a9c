// Creates adapters of a standalone model.

import { checkOptions, integer, mapOf, number, string } from '../../base/schema.ts'
import type { Adapter, AdapterMetadata } from '../adapter.ts'
import { initializeAdapter } from '../create-adapter.ts'
import type { AdapterKindName, AdapterOptions } from '../kinds/kind-table.ts'
import { createStandaloneModel } from './model.ts'

export interface CreateStandaloneOptions {
  readonly width: number // D
  /** The same seed gives the same numbers. Default 0. */
  readonly seed?: number
  readonly metadata?: AdapterMetadata
}

// createStandaloneModel checks the range of the width
const optionFields = { width: number(), seed: integer(), metadata: mapOf(string()) }

/**
 * A new adapter over vectors: `createStandalone('lora', { rank: 16, targets: 'attention' }, {
 * width: 768 })`. It changes nothing until it is trained. Throws OptionError for unknown or wrong
 * options, for targets that are none of `standaloneModules`, and for a wrong width.
 */
export function createStandalone<Kind extends AdapterKindName>(
  kind: Kind,
  config: AdapterOptions<Kind>,
  options: CreateStandaloneOptions,
): Adapter {
  checkOptions('createStandalone options', options, optionFields)
  const { width, seed = 0, metadata } = options
  const { name, graph, weightOf } = createStandaloneModel(width)
  return initializeAdapter(kind, config, graph, {
    seed,
    weightOf,
    baseModel: name,
    ...(metadata && { metadata }),
  })
}

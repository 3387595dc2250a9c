// Fresh adapters of a standalone model.

import { type Adapter, type AdapterMetadata, createAdapter } from '../adapter.ts'
import { createStandaloneModel } from './model.ts'

/**
 * What standalone adapters say their base is: adapters of other widths, or of language models, are
 * then not mixed with them.
 */
export const formatStandaloneBase = (width: number): string => `standalone-${width}`

export interface CreateStandaloneOptions {
  readonly width: number // D
  /** 0 unless given; the same seed gives the same numbers. */
  readonly seed?: number
  readonly metadata?: AdapterMetadata
}

/**
 * A fresh adapter over vectors: `createStandalone('lora', { rank: 16, targets: 'attention' }, {
 * width: 768 })`. It changes nothing yet. Throws OptionError for wrong options, targets that are
 * none of `standaloneModules`, and a wrong width.
 */
export function createStandalone(
  kind: string,
  config: Readonly<Record<string, unknown>>,
  { width, seed = 0, metadata }: CreateStandaloneOptions,
): Adapter {
  const { graph, weightOf } = createStandaloneModel(width)
  return createAdapter(kind, config, graph, {
    seed,
    weightOf,
    baseModel: formatStandaloneBase(width),
    ...(metadata && { metadata }),
  })
}

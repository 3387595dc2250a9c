// Fresh adapters of a standalone model.

import { type Adapter, type AdapterMetadata, createAdapter } from '../adapter.ts'
import { standaloneModel } from './model.ts'

/**
 * What standalone adapters say their base is: adapters of other widths, or of language models, are
 * then not mixed with them.
 */
export const standaloneBase = (width: number): string => `standalone-${width}`

export interface StandaloneCreateOptions {
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
  { width, seed = 0, metadata }: StandaloneCreateOptions,
): Adapter {
  const { graph, weightOf } = standaloneModel(width)
  return createAdapter(kind, config, graph, {
    seed,
    weightOf,
    baseModel: standaloneBase(width),
    ...(metadata && { metadata }),
  })
}

// The fields of a recipe of the library: from a slice of data to a measured expert.

import type { StorageType } from '../../adapters/files/storage.ts'
import type { ExpertManifest } from '../../registry/manifest/manifest-fields.ts'

export interface ExpertRecipe {
  /** The expert's name, and the folder of its slice of data. */
  readonly name: string
  readonly description: string
  /** A tier or a class of tasks of `graft train --tier`: kind, rank and layers. */
  readonly tier: string
  /** How its tensors are released. */
  readonly dtype: StorageType
  /** The system message of its training, which names the task in a few words. */
  readonly system: string
  /** The licence of the data, as in the manifest. */
  readonly dataLicense: string
  readonly metric: string
  /** Tokens of an answer at most. */
  readonly newTokens: number
  readonly steps: number
  readonly domains: NonNullable<ExpertManifest['domains']>
  readonly keywords: readonly string[]
}

/** Shared by all recipes: every expert was trained with the same batches. */
export const recipeBatch = { rows: 1, tokens: 384 }

/** The LoRA with which every expert is compared, with the same rows, steps and layers. */
export const loraComparison = { kind: 'lora', config: { rank: 16, targets: 'attention' } } as const

/** The base that the recipes were measured on. */
export const libraryBase = 'smollm2-135m-instruct'

// Messages to and from the thread that computes masks. Masks and their numbers are in shared
// memory.

import type { GrammarStatistics } from '../../runtime/grammar/grammar-host.ts'

/** The tokens of a vocabulary, concatenated: token i is bytes ends[i − 1] … ends[i]. */
export interface PackedVocabulary {
  readonly key: string
  readonly size: number
  readonly bytes: Uint8Array
  readonly ends: Uint32Array
}

export type GrammarOrder =
  | { readonly type: 'vocabulary'; readonly vocabulary: PackedVocabulary }
  | {
      readonly type: 'open'
      readonly id: number
      readonly vocabulary: string
      readonly text: string
      /** [0]: how many masks were computed; then the bits of the last one. */
      readonly shared: Int32Array
    }
  | { readonly type: 'accept'; readonly id: number; readonly token: number }
  | { readonly type: 'close'; readonly id: number }

export type GrammarReport =
  | { readonly type: 'opened'; readonly statistics: GrammarStatistics }
  | {
      readonly type: 'failed'
      readonly id: number
      readonly message: string
      readonly statistics: GrammarStatistics
    }

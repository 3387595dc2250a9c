// The options of an engine: their types, and the table that checks them.

import {
  flag,
  number,
  oneOf,
  type OptionFields,
  positiveInteger,
  unchecked,
  withInfo,
} from '../../base/schema.ts'
import type { PromptProducts } from '../programs/step/step-graph.ts'
import type { KvElement, SavedPrefixes } from './kv/kv-types.ts'
import type { ColdForm } from './pool/pool-experts.ts'

export interface EngineOptions {
  /** Sequences that run at a time; others wait. Default 16. */
  readonly maxRows?: number | undefined
  /**
   * Bytes of keys and values that running sequences and cached prefixes share. Default 1 GiB, or
   * what one sequence of the model's whole context needs, whichever is more.
   */
  readonly kvBytes?: number | undefined
  /**
   * How keys and values are kept: 'f32'; 'f16' in half the bytes, each number rounded to 11 bits;
   * or 'int8' in about a quarter, each by at most 0.4 % of the largest number of its vector.
   * Default 'f32'.
   */
  readonly kvElement?: KvElement | undefined
  /**
   * How linear layers multiply in prefill, for requests that are not exact: 'same' as in decoding,
   * or 'int8' in 8 bits, which is faster, takes one more byte for each weight, and rounds more
   * (docs/engine-results.md). Default 'same'.
   */
  readonly promptProducts?: PromptProducts | undefined
  /**
   * Tokens of a prompt that are computed at once, a multiple of 16. Default: 32 to 512, estimated
   * from the model's size and the number of cores so that a piece takes about 250 ms.
   */
  readonly pieceTokens?: number | undefined
  /** Milliseconds after which a waiting request takes precedence over all others. Default 2,000. */
  readonly maxWaitMs?: number | undefined
  /**
   * Where cached prefixes are saved so that they outlive the process, such as openPrefixFolder of
   * graftlm/node. A prefix is saved when a second request begins with it, and found again for the
   * same base and registered expert.
   */
  readonly saved?: SavedPrefixes | undefined
  /** Whether requests speculate by default. Default false. */
  readonly speculate?: boolean | undefined
  /**
   * Bytes of the slots of resident experts. Default 512 MiB; ten of rank 16 on a 135M take 195 MB.
   */
  readonly expertBytes?: number | undefined
  /**
   * How registered experts are kept outside their slots: 'f32' unchanged, 'f16' or 'int8' in a half
   * or a quarter of the bytes. Default 'f32'.
   */
  readonly cold?: ColdForm | undefined
}

export const engineFields = {
  maxRows: withInfo(positiveInteger, { default: 16 }),
  kvBytes: number({ above: 0 }),
  kvElement: withInfo(oneOf<KvElement>(['f32', 'f16', 'int8']), { default: 'f32' }),
  promptProducts: withInfo(oneOf<PromptProducts>(['same', 'int8']), {
    default: 'same',
    about: 'products during prefill: int8 is faster and rounds more',
  }),
  pieceTokens: positiveInteger,
  maxWaitMs: number({ above: 0, default: 2000 }),
  saved: unchecked<SavedPrefixes>('a place for saved prefixes'),
  speculate: flag({
    default: false,
    about: 'check several likely tokens in one call (speculative decoding)',
  }),
  expertBytes: positiveInteger,
  cold: oneOf<ColdForm>(['f32', 'f16', 'int8']),
} satisfies OptionFields<EngineOptions>

const LEAST_PIECE = 32
const MOST_PIECE = 512

/**
 * Parameters times tokens that one core computes per second in prefill: 70e9 was measured with
 * 4-bit weights on AVX-512 (docs/engine.md). An approximation suffices, because the piece is
 * rounded to a power of two.
 */
const PARAMETER_TOKENS_PER_CORE = 70e9

/** The piece of about 250 ms: a power of two between 32 and 512 tokens. */
export function choosePieceTokens(parameters: number, cores: number): number {
  const tokens = (0.25 * PARAMETER_TOKENS_PER_CORE * cores) / parameters
  const power = 2 ** Math.round(Math.log2(tokens))
  return Math.min(MOST_PIECE, Math.max(LEAST_PIECE, power))
}

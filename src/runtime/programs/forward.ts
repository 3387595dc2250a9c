// Runs new tokens of a batch through a serving program with a cache, and alone creates its feeds.
// Long prompts run in pieces.

import { isMixture } from '../../adapters/index.ts'
import { listVirtualIds } from '../../adapters/adapter.ts'
import { ContextLengthError, OptionError } from '../../base/errors.ts'
import { i64, type Tensor } from '../../base/tensor.ts'
import { computeCacheShape } from '../../graph/cache-shape.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import { computeContextLimit } from '../../graph/rope.ts'
import { findActivationStarts } from './activation.ts'
import type { BaseWeights } from './base-weights.ts'
import { LOGIT_ROWS, STATES } from './cached-graph.ts'
import { collectCallFeeds } from './call-feeds.ts'
import { isPerRow, type ServedExperts } from './row-groups.ts'
import { createKvCache, type KvCache, STEP_SLOTS } from './kv-cache.ts'
import type { ServingProgram } from './serving-program.ts'

/**
 * Tokens of a row in one call: enough for full speed, and few enough to keep the H·T·(C+T)
 * attention scores small.
 */
const CHUNK_TOKENS = 512

/**
 * The last token of every row, all of them, none, or those at the given places among a row's new
 * tokens, in rising order.
 */
export type TokenPositions = 'last' | 'all' | 'none' | readonly (readonly number[])[]

/** Receives the states that enter a layer, for callers that continue from there. */
export interface StatesTap {
  /** The layer, from 0. */
  readonly layer: number
  /**
   * Called with the states [T, D] of a row's next T tokens, starting at its first one and including
   * virtual ones. A prompt may arrive in several calls.
   */
  take(row: number, states: Float32Array): void
}

export interface ForwardOptions {
  /** One expert for all rows or one for each; adapters with virtual tokens serve all rows. */
  readonly served?: ServedExperts
  /** Which of the new tokens to return. Default 'last'. */
  readonly at?: TokenPositions
  /** Hidden states instead of logits; the head is not computed then. */
  readonly want?: 'logits' | 'hidden'
  /** Also returns the states that enter a layer; the first such call compiles another program. */
  readonly states?: StatesTap | undefined
  /** Called between the pieces of a long prompt; throwing stops. */
  readonly throwIfAborted?: () => void
  /**
   * Positions from which the rows' experts act. Default: found in these tokens, which must then be
   * the rows' first.
   */
  readonly activeFrom?: readonly number[] | undefined
}

export interface Forward {
  /** An empty cache for `batch` rows. */
  cache(batch: number): KvCache
  /**
   * Runs each row's new tokens and adds them to the cache. Returns, by row, one array for each
   * token of `at`: logits [V] or hidden states [D]. Throws ContextLengthError if a row would grow
   * beyond the model's context, before anything is run.
   */
  (
    tokens: readonly (readonly number[])[],
    cache: KvCache,
    options?: ForwardOptions,
  ): Promise<Float32Array[][]>
}

export interface ForwardParts {
  readonly config: ModelConfig
  readonly weights: BaseWeights
  readonly program: (served: ServedExperts, states?: number) => Promise<ServingProgram>
  /** Whether programs may be fed tensors without elements. Default true. */
  readonly emptyTensors?: boolean | undefined
}

function checkLengths(
  config: ModelConfig,
  tokens: readonly (readonly number[])[],
  cache: KvCache,
): void {
  if (tokens.length !== cache.lengths.length || tokens.some((row) => row.length === 0)) {
    throw new OptionError(
      `A forward pass takes at least one token for each of ${cache.lengths.length} rows; got ${tokens.map(({ length }) => length).join(', ')}.`,
    )
  }
  const limit = computeContextLimit(config)
  tokens.forEach((row, n) => {
    const total = row.length + cache.lengths[n]!
    if (total > limit) {
      throw new ContextLengthError(
        `Row ${n} comes to ${total} tokens, the model's context has ${limit}. Shorten the prompt.`,
      )
    }
  })
}

/** Which of a row's new tokens are returned. */
function resolvePositions(at: TokenPositions, row: number, length: number): readonly number[] {
  if (at === 'none') return []
  if (at === 'last') return [length - 1]
  return at === 'all' ? Array.from({ length }, (_, t) => t) : (at[row] ?? [])
}

/**
 * The positions from which the experts act. Throws OptionError if they cannot be found, because the
 * invocation tokens may be in the cache.
 */
function resolveActivationStarts(
  given: readonly (readonly number[])[],
  cache: KvCache,
  { served, activeFrom }: ForwardOptions,
) {
  const starts = activeFrom ?? findActivationStarts(served, given)
  if (!starts || activeFrom || cache.lengths.every((length) => length === 0)) return starts
  throw new OptionError(
    'Rows that continue a cache need activeFrom, because their adapter acts from its invocation tokens on.',
  )
}

/** Passes each row's part of the states [N, T, D] to the tap, without padding. */
function tapStates(
  { take }: StatesTap,
  { data, shape }: Tensor,
  pieces: readonly (readonly number[])[],
): void {
  const [, tokens, width] = shape as [number, number, number]
  pieces.forEach(({ length }, row) => {
    const start = row * tokens * width
    if (length > 0) take(row, (data as Float32Array).subarray(start, start + length * width))
  })
}

export function createForward(parts: ForwardParts): Forward {
  const { config, program, emptyTensors = true } = parts
  const shape = computeCacheShape(config)

  const forward = async (
    given: readonly (readonly number[])[],
    cache: KvCache,
    options: ForwardOptions = {},
  ): Promise<Float32Array[][]> => {
    const { served, at = 'last', want = 'logits', throwIfAborted, states } = options
    const virtual = served && !isPerRow(served) && !isMixture(served) ? listVirtualIds(served) : []
    // Virtual tokens go before a row's first token; callers do not count them.
    const before = given.map((_, row) => (cache.lengths[row] === 0 ? virtual : []))
    const tokens = given.map((row, n) => [...before[n]!, ...row])
    checkLengths(config, tokens, cache)
    const starts = resolveActivationStarts(given, cache, options)
    const compiled = await program(served, states?.layer)
    const results = tokens.map((): Float32Array[] => [])
    const longest = Math.max(...tokens.map(({ length }) => length))
    const sequenceLengths = tokens.map(({ length }, n) => length + cache.lengths[n]!)
    for (let start = 0; start < longest; start += CHUNK_TOKENS) {
      throwIfAborted?.()
      const pieces = tokens.map((row) => row.slice(start, start + CHUNK_TOKENS))
      const width = Math.max(...pieces.map(({ length }) => length))
      const picks = given.flatMap(({ length }, row) => {
        const places = resolvePositions(at, row, length).map((place) => place + before[row]!.length)
        const here = places.filter((place) => place >= start && place < start + width)
        // as an index into [N·T]
        return here.map((place) => ({ row, index: row * width + place - start }))
      })
      // the head needs at least one row
      const rows = picks.length === 0 ? [0] : picks.map(({ index }) => index)
      const { lengths, capacity } = cache
      const newTokens = { pieces, lengths, capacity, starts, sequenceLengths }
      const call = await collectCallFeeds(parts, newTokens)
      const feeds = new Map<string, Tensor>([...cache.feeds(), ...call])
      feeds.set('rows', i64([rows.length], rows))
      const logitRows = want === 'logits' ? [...rows.keys()] : emptyTensors ? [] : [0]
      feeds.set(LOGIT_ROWS, i64([logitRows.length], logitRows))
      const outputs = await compiled.run(feeds, served)
      cache.append(
        outputs,
        pieces.map(({ length }) => length),
      )
      if (states) tapStates(states, outputs.get(STATES)!, pieces)
      const { data, shape: found } = outputs.get(want)! as Tensor<Float32Array>
      picks.forEach(({ row }, i) =>
        results[row]!.push(data.subarray(i * found[1]!, (i + 1) * found[1]!)),
      )
    }
    return results
  }
  return Object.assign(forward, {
    cache: (batch: number) => createKvCache(shape, batch, emptyTensors ? 0 : STEP_SLOTS),
  })
}

// Where the numbers of one module are in the heap, and how much memory they take. Changes nothing.
// Independent of: kernels.

import type { MicroLoraConfig } from '../options.ts'
import type { ModuleDimensions } from '../target-modules.ts'

/** Vectors of one number for each parameter. */
export type SlotName =
  'weights' | 'gradient' | 'momentum' | 'secondMomentum' | 'importance' | 'anchor'

const line = 16 // floats in the kernels' steps: rows are padded to it with zeros

export const padLength = (length: number): number => Math.ceil(length / line) * line

/** The slots a configuration needs, in their order in memory. */
export function listSlots({ optimizer, momentum, ewc }: MicroLoraConfig): SlotName[] {
  return [
    'weights',
    'gradient',
    ...(momentum > 0 || optimizer === 'adam' ? (['momentum'] as const) : []),
    ...(optimizer === 'adam' ? (['secondMomentum'] as const) : []),
    ...(ewc ? (['importance', 'anchor'] as const) : []),
  ]
}

/**
 * One run of numbers within a slot: where it begins there, and how many of `stride` are used in
 * each of `rows`.
 */
export interface LayoutPart {
  readonly name: 'A' | 'B' | 'bias'
  readonly start: number
  readonly rows: number
  readonly length: number
  readonly stride: number
}

export interface MicroLayout {
  readonly rank: number
  readonly inFeatures: number
  readonly outFeatures: number
  /** Row lengths with padding. */
  readonly inStride: number
  readonly outStride: number
  /**
   * A as R rows of the input's length; B as R rows of the output's; the bias, where there is one.
   */
  readonly parts: readonly LayoutPart[]
  /** Numbers in a slot, padding included. */
  readonly slotSize: number
  /** Numbers in a slot that mean something. */
  readonly parameterCount: number
  readonly slots: readonly SlotName[]
  /**
   * Numbers behind the slots: with EWC the running mean squares of the input and of the low-rank
   * values.
   */
  readonly watchedSize: number
}

const lowRank = 16 // room for the low-rank values of any rank

export function computeLayout(
  config: MicroLoraConfig,
  { inFeatures, outFeatures }: ModuleDimensions,
): MicroLayout {
  const { rank, bias } = config
  const inStride = padLength(inFeatures)
  const outStride = padLength(outFeatures)
  const parts: LayoutPart[] = [
    { name: 'A', start: 0, rows: rank, length: inFeatures, stride: inStride },
    { name: 'B', start: rank * inStride, rows: rank, length: outFeatures, stride: outStride },
  ]
  if (bias)
    parts.push({
      name: 'bias',
      start: rank * (inStride + outStride),
      rows: 1,
      length: outFeatures,
      stride: outStride,
    })
  const total = (of: (part: LayoutPart) => number): number =>
    parts.reduce((sum, part) => sum + part.rows * of(part), 0)
  return {
    rank,
    inFeatures,
    outFeatures,
    inStride,
    outStride,
    parts,
    slotSize: total(({ stride }) => stride),
    parameterCount: total(({ length }) => length),
    slots: listSlots(config),
    watchedSize: config.ewc ? inStride + lowRank : 0,
  }
}

/** Bytes by what they are for. */
export interface MemoryReport {
  /** A, B and bias as they would be in a file. */
  readonly weights: number
  /** The gradient that `adapt` accumulates. */
  readonly gradient: number
  /** Averages of the optimiser. */
  readonly optimizer: number
  /** Importance, anchor and running squares of EWC. */
  readonly ewc: number
  /** What rounding rows up costs. */
  readonly padding: number
  /** All of these. */
  readonly total: number
  /**
   * Input, output and target of a call: once for all adapters of a page or process, as wide as the
   * widest.
   */
  readonly sharedScratch: number
}

/** Bytes of the scratch that is wide enough for these modules; see kernels/context.ts. */
export const computeScratchSize = (layouts: readonly MicroLayout[]): number =>
  4 * (32 + 3 * Math.max(...layouts.flatMap(({ inStride, outStride }) => [inStride, outStride])))

export function computeMemoryReport(
  layouts: readonly MicroLayout[],
  sharedScratch: number,
): MemoryReport {
  const bytes = (...slots: SlotName[]): number =>
    layouts.reduce(
      (sum, layout) =>
        sum +
        4 * layout.parameterCount * layout.slots.filter((slot) => slots.includes(slot)).length,
      0,
    )
  const watched = (of: (layout: MicroLayout) => number): number =>
    layouts.reduce((sum, layout) => sum + (layout.watchedSize > 0 ? 4 * of(layout) : 0), 0)
  const report = {
    weights: bytes('weights'),
    gradient: bytes('gradient'),
    optimizer: bytes('momentum', 'secondMomentum'),
    ewc: bytes('importance', 'anchor') + watched(({ inFeatures, rank }) => inFeatures + rank),
    padding:
      layouts.reduce(
        (sum, { slots, slotSize, parameterCount }) =>
          sum + 4 * slots.length * (slotSize - parameterCount),
        0,
      ) + watched(({ watchedSize, inFeatures, rank }) => watchedSize - inFeatures - rank),
  }
  return {
    ...report,
    total: Object.values(report).reduce((sum, part) => sum + part, 0),
    sharedScratch,
  }
}

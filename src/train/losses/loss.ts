// The contract of a loss: one file per loss, one row in losses.ts. A loss appends to the head's
// graph and names the feeds of a batch besides labels. Independent of models, adapters and files:
// it sees logits.

import type { Tensor } from '../../base/tensor.ts'
import type { GraphBuilder } from '../../graph/builder.ts'
import type { Value } from '../../graph/ir.ts'
import type { Batch } from '../batches/batch.ts'
import { type Fields } from '../../base/schema.ts'

/** Tensors by name. Of a frozen model: a row for each of the batch's M scored tokens. */
export type NamedTensors = ReadonlyMap<string, Tensor>

/**
 * The values computed after the head's logits [M, V] and from their states [M, D], by name. Further
 * inputs are feeds; `labels` i64 [M] and `weights` f32 [M] are always fed.
 */
export type HeadGraph = (
  g: GraphBuilder,
  logits: Value,
  states: Value,
) => Readonly<Record<string, Value>>

/** The outputs of a frozen model for the same tokens. */
export interface FrozenPass {
  /**
   * 'reference': the base, or an adapter on it, before training. 'teacher': the model that is
   * imitated.
   */
  readonly role: 'reference' | 'teacher'
  /**
   * Whether outputs are computed for all rows before the first step and stored; otherwise they are
   * computed again with every batch.
   */
  readonly ahead: boolean
  /** Outputs with M as their first dimension. */
  readonly graph: HeadGraph
  /** Reduces the outputs, with M still the first dimension. Default: the outputs themselves. */
  condense?(outputs: NamedTensors): Map<string, Tensor>
}

/** A batch, for which feeds are computed. */
export interface LossBatch {
  readonly batch: Batch
  /**
   * Scored tokens of each row, in the order of labels; in pairs, chosen and rejected rows
   * alternate.
   */
  readonly labelCounts: readonly number[]
  /** Rows that belong together. */
  readonly groupSize: number
  /**
   * The weight of each pair or group; those of a step add up to 1. Empty for single rows, whose
   * weights are in the batch.
   */
  readonly pairWeights: readonly number[]
  /** For rated rows: whether each was rated good. */
  readonly verdicts: readonly boolean[]
  /** For graded rows: each one's reward, and its advantage among the rows of its prompt. */
  readonly grades: readonly { readonly reward: number; readonly advantage: number }[]
  /** The frozen model's outputs, if the loss needs one. */
  readonly frozen: NamedTensors
}

export interface Loss<Settings extends object = object> {
  /** 'cross-entropy' */
  readonly name: string
  /** One line for lists, with the formula. */
  readonly about: string
  readonly options: Fields
  /** The loss if every token is equally likely, for losses where that means something. */
  chance?(vocabularySize: number): number
  /**
   * Single rows; pairs of a chosen and a rejected row; rated rows, each followed by its prompt with
   * another answer; single graded rows; or groups of an anchor, a positive and a fixed number of
   * negatives.
   */
  readonly learnsFrom: 'rows' | 'pairs' | 'judged' | 'graded' | 'groups'
  /** Multiplies the kind's default learning rate; default 1. */
  readonly rateFactor?: number
  /** Options with defaults filled in; throws one OptionError that lists everything wrong. */
  complete(options: Readonly<Record<string, unknown>>): Settings
  /**
   * `loss`, a scalar that adds up over the batches of a step; every other output is passed to
   * `report`.
   */
  graph(
    g: GraphBuilder,
    logits: Value,
    settings: Settings,
    states: Value,
  ): Readonly<Record<string, Value>>
  /** The metadata of an adapter trained with it. */
  describe?(settings: Settings): Readonly<Record<string, string>>
  /** The frozen model that the loss needs; absent or undefined: none. */
  frozen?(settings: Settings): FrozenPass | undefined
  /** The graph's inputs in addition to labels and weights. */
  feeds?(batch: LossBatch, settings: Settings): Map<string, Tensor>
  /** Numbers for events, from the outputs of all batches of a step. */
  report?(outputs: readonly NamedTensors[]): Readonly<Record<string, number>>
}

/**
 * How many rows belong together: 2 for pairs and rated rows; for groups, the size that the data
 * has.
 */
export const getGroupSize = (
  { learnsFrom }: Pick<Loss, 'learnsFrom'>,
  { groupSize = 2 }: { readonly groupSize?: number | undefined } = {},
): number => (learnsFrom === 'rows' || learnsFrom === 'graded' ? 1 : groupSize)

/** All values of an output over several batches. */
export const collectValues = (outputs: readonly NamedTensors[], name: string): number[] =>
  outputs.flatMap((one) => Array.from((one.get(name)?.data ?? []) as Float32Array))

export const sumValues = (outputs: readonly NamedTensors[], name: string): number =>
  collectValues(outputs, name).reduce((sum, value) => sum + value, 0)

// The objective of a run: its loss, and batches that carry everything the loss reads, the outputs
// of a frozen model included.

import { DataError } from '../../base/errors.ts'
import type { Batch } from '../batches/batch.ts'
import {
  type Asking,
  createAuxiliaryModel,
  countLabels,
  type ObjectiveParts,
  type RunData,
} from './auxiliary-model.ts'
import type { EncodedData, EncodedSequence } from '../data/encode.ts'
import type { TrainEvent } from '../events.ts'
import {
  getGroupSize,
  type HeadGraph,
  type Loss,
  type LossBatch,
  type NamedTensors,
} from '../losses/loss.ts'
import { type BatchPlan, buildBatch, computeLabelScale } from '../batches/packing.ts'

export interface Objective {
  /** For the gradient program. */
  readonly graph: HeadGraph
  /** Whether `report` has something to report. */
  readonly reports: boolean
  /**
   * Runs the frozen model over all rows if its outputs are stored. Call it before batches are
   * built.
   */
  precompute(sets: readonly RunData[], asking?: Asking): AsyncGenerator<TrainEvent, void, void>
  /**
   * Batches whose losses add up to the mean over scored tokens or pairs. They are built one after
   * the other, because a teacher's outputs are large. `places`: only these plans, in this order.
   */
  batches(
    data: RunData,
    plans: readonly BatchPlan[],
    places?: readonly number[],
  ): AsyncGenerator<Batch, void, void>
  /** Numbers for an event from the outputs of its batches; empty if the loss has none. */
  report(outputs: readonly NamedTensors[]): { measures?: Readonly<Record<string, number>> }
  dispose(): Promise<void>
}

const heldRows = {
  pairs: 'pairs of a chosen and a rejected answer',
  judged: 'answers judged good or bad ("label")',
  graded: 'answers that were graded ("reward")',
  groups: 'texts to be embedded ("anchor", "positive")',
}

/** The usual loss for each form of rows. */
const usualLosses = { pairs: 'dpo', judged: 'kto', graded: 'grpo', groups: 'contrastive' }

const wantedRows: Readonly<Record<Loss['learnsFrom'], string>> = {
  rows: 'rows that are right',
  pairs: '{ "prompt": "…", "chosen": "…", "rejected": "…" }',
  judged: '{ "prompt": "…", "completion": "…", "label": true }',
  graded: '{ "prompt": "…", "completion": "…", "reward": 0.5 }',
  groups: '{ "anchor": "…", "positive": "…", "negative": "…" }, the negative where there is one',
}

/** Throws DataError if the loss cannot learn from this data. */
export function checkData(
  { name, format, pairs = false, judged = false, graded = false, groupSize }: EncodedData,
  { learnsFrom, name: loss }: Loss,
): void {
  const special = pairs ? 'pairs' : judged ? 'judged' : graded ? 'graded' : 'rows'
  const held = groupSize === undefined ? special : 'groups'
  if (held === learnsFrom) return
  throw new DataError(
    held === 'rows'
      ? `${name}: is of the format "${format}"; the loss "${loss}" learns from ${wantedRows[learnsFrom]}.`
      : `${name}: holds ${heldRows[held]}, which the loss "${loss}" cannot learn from. Take the loss "${usualLosses[held]}".`,
  )
}

const getPairWeight = (rows: readonly EncodedSequence[], chosen: number): number =>
  rows[chosen]!.weights.find((weight) => weight > 0)!

/** The weight of each pair or group of the plan, in order; empty for single rows. */
function listPairWeights(data: RunData, plan: BatchPlan, loss: Loss): number[] {
  const size = getGroupSize(loss, data)
  return size === 1
    ? []
    : plan.flat().flatMap((row, i) => (i % size === 0 ? [getPairWeight(data.rows, row)] : []))
}

const readGrade = ({ reward, advantage }: EncodedSequence): LossBatch['grades'] =>
  reward === undefined || advantage === undefined ? [] : [{ reward, advantage }]

/** The objective of a run. Nothing is computed before the first batch. */
export function createObjective(parts: ObjectiveParts): Objective {
  const { loss, lossSettings: own, frozenPass } = parts.recipe
  const auxiliary = frozenPass && createAuxiliaryModel(parts, frozenPass)
  return {
    graph: (g, logits, states) => loss.graph(g, logits, own, states),
    reports: loss.report !== undefined,
    async *precompute(sets, asking) {
      if (auxiliary) yield* auxiliary.precompute(sets, asking)
    },
    async *batches(data, plans, places) {
      const { rows, shared } = data
      const scale = computeLabelScale(rows, plans)
      const all = plans
        .flatMap((plan) => listPairWeights(data, plan, loss))
        .reduce((sum, weight) => sum + weight, 0)
      for (const plan of places?.map((place) => plans[place]!) ?? plans) {
        const batch = buildBatch(rows, plan, { shared, scale })
        if (!loss.feeds) {
          yield batch
          continue
        }
        const feeds = loss.feeds(
          {
            batch,
            labelCounts: plan.flat().map((row) => countLabels(rows[row]!)),
            groupSize: getGroupSize(loss, data),
            pairWeights: listPairWeights(data, plan, loss).map((weight) => weight / all),
            verdicts: plan.flat().flatMap((row) => rows[row]!.isGood ?? []),
            grades: plan.flat().flatMap((row) => readGrade(rows[row]!)),
            frozen: auxiliary ? await auxiliary.getOutputs(data, plan) : new Map(),
          },
          own,
        )
        yield { ...batch, feeds }
      }
    },
    report: (outputs) =>
      loss.report && outputs.length > 0 ? { measures: loss.report(outputs) } : {},
    dispose: async () => auxiliary?.dispose(),
  }
}

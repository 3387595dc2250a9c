// A run before its first step: its recipe, its rows and its state, each prepared once and in this
// order. All problems are reported before anything is trained or written.

import { sizeOf } from '../../base/tensor.ts'
import type { TrainEvent } from '../events.ts'
import { checkAuxiliaryModel } from '../objective/auxiliary-model.ts'
import { createObjective, type Objective } from '../objective/objective.ts'
import type { TrainOptions } from '../options/options.ts'
import { type Recipe, resolveRecipe } from '../options/recipe.ts'
import type { LossBounds } from './divergence.ts'
import { agreeOnRun, checkReplicaCount } from '../replicas/agree.ts'
import { createReplicaGroup, type ReplicaGroup } from '../replicas/replica-group.ts'
import { findCheckpointDate } from './checkpoint.ts'
import { countData, type PreparedRows, prepareRows } from './rows.ts'
import { type PreparedState, prepareState } from './start-or-resume.ts'

export interface PreparedRun extends PreparedState {
  readonly recipe: Recipe
  readonly rows: PreparedRows
  readonly objective: Objective
  /** The replicas that share the run's steps; a group of one if there are none. */
  readonly group: ReplicaGroup
  /** A loss outside of these bounds ends the run. */
  readonly lossBounds: LossBounds
  readonly ready: Extract<TrainEvent, { type: 'data-ready' }>
}

function computeLossBounds({ settings, loss }: Recipe, vocabularySize: number): LossBounds {
  const chance = loss.chance?.(vocabularySize)
  return { factor: settings.divergenceFactor, ...(chance !== undefined && { chance }) }
}

function createReadyEvent(
  { settings, ewc }: Recipe,
  { encoded, data, validation, fill, plan }: PreparedRows,
  { state, trainable, refused }: PreparedState,
  checkpointDate: Date | undefined,
): PreparedRun['ready'] {
  const sizes = trainable.map((key) => sizeOf(state.parameters.get(key)!.shape))
  return {
    type: 'data-ready',
    data: countData(encoded),
    ...(validation ? { validation: countData(validation.encoded) } : {}),
    fill,
    sharedTokens: data.shared,
    steps: plan.steps,
    learningRate: settings.learningRate,
    resumedAt: state.step,
    ...(checkpointDate && { checkpointDate }),
    refusedCheckpoints: refused,
    ...(ewc && { protectedTasks: ewc.state?.tasks ?? 0 }),
    trainableParameters: sizes.reduce((sum, size) => sum + size, 0),
  }
}

/**
 * A resumed run uses the date of its checkpoint in chat templates, so that its data is the same on
 * another day.
 */
async function withCheckpointDate(options: TrainOptions): Promise<TrainOptions> {
  const { source } = options.checkpoint ?? {}
  const date = source && options.date && (await findCheckpointDate(source))
  return date ? Object.assign({}, options, { date }) : options
}

/**
 * Prepares a run. Throws OptionError, DataError, MismatchError (an adapter or a checkpoint that
 * does not fit) or FormatError (no valid checkpoint) before anything is computed or written.
 */
export async function prepareRun(given: TrainOptions): Promise<PreparedRun> {
  const options = await withCheckpointDate(given)
  const isSameDay = options.date?.toDateString() === given.date?.toDateString()
  const recipe = resolveRecipe(options)
  await checkAuxiliaryModel(options, recipe)
  const { exchange, signal } = options
  const { shards } = recipe.settings
  checkReplicaCount(shards, exchange?.size ?? 1)
  const rows = prepareRows(options, recipe)
  const start = await prepareState(options, recipe, rows)
  const group = createReplicaGroup({ shards, exchange, signal })
  await agreeOnRun(group, Object.assign({}, exchange?.about, start.fingerprint), start.state)
  return {
    ...start,
    recipe,
    rows,
    group,
    objective: createObjective({ options, recipe, weights: start.weights }),
    lossBounds: computeLossBounds(recipe, options.model.base.graph.config.vocabularySize),
    ready: createReadyEvent(recipe, rows, start, isSameDay ? undefined : options.date),
  }
}

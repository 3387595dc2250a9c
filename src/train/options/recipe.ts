// The recipe of a run: its settings, and the rows of the tables of losses, optimisers and schedules
// that they name, each with its own settings. All problems of options are reported here, before
// data is read.

import { OptionError } from '../../base/errors.ts'
import { completeEwc, type EwcSettings } from '../ewc/options.ts'
import type { EwcState } from '../ewc/state.ts'
import type { FrozenPass, Loss } from '../losses/loss.ts'
import { getLoss } from '../losses/loss-table.ts'
import type { Optimizer } from '../optimizers/optimizer.ts'
import { getOptimizer } from '../optimizers/optimizer-table.ts'
import type { Schedule } from '../schedules/schedule.ts'
import { computeLearningRateFactor, getSchedule } from '../schedules/schedule-table.ts'
import { findTrainOptionProblems, type TrainOptions } from './options.ts'
import { computeWarmupSteps, readSettings, reportProblems, type TrainSettings } from './settings.ts'

/** How gradients become a step, and how the learning rate changes over a run. */
export interface UpdateRecipe {
  readonly optimizer: Optimizer
  readonly optimizerSettings: object
  readonly schedule: Schedule
  readonly scheduleSettings: object
}

/** A loss with its settings. */
export interface LossRecipe {
  readonly loss: Loss
  readonly lossSettings: object
  /** The frozen model that the loss needs, if it needs one. */
  readonly frozenPass: FrozenPass | undefined
}

export interface Recipe extends UpdateRecipe, LossRecipe {
  readonly settings: TrainSettings
  /** How earlier tasks are protected; undefined without EWC. */
  readonly ewc: (EwcSettings & { readonly state: EwcState | undefined }) | undefined
}

/** Runs checks one after another and collects the messages of their OptionErrors. */
export class ProblemCollector {
  readonly problems: string[]

  constructor(problems: readonly string[]) {
    this.problems = [...problems]
  }

  /**
   * The result of the work. Undefined if it threw an OptionError, or if one of the settings that it
   * reads already has a problem.
   */
  attempt<Value>(settings: readonly string[], work: () => Value): Value | undefined {
    const isWrong = (name: string): boolean =>
      this.problems.some((problem) => problem.startsWith(`${name}: `))
    if (settings.some(isWrong)) return undefined
    try {
      return work()
    } catch (error) {
      if (!(error instanceof OptionError)) throw error
      this.problems.push(error.message)
      return undefined
    }
  }
}

/** The optimiser and the schedule of these names; throws OptionError for wrong options. */
export function resolveOptimizer(name: string, options: Readonly<Record<string, unknown>>) {
  const optimizer = getOptimizer(name)
  return { optimizer, optimizerSettings: optimizer.complete(options) }
}

export function resolveSchedule(name: string, options: Readonly<Record<string, unknown>>) {
  const schedule = getSchedule(name)
  return { schedule, scheduleSettings: schedule.complete(options) }
}

export function resolveLoss({
  loss: name,
  lossOptions,
}: Pick<TrainSettings, 'loss' | 'lossOptions'>): LossRecipe {
  const loss = getLoss(name)
  const lossSettings = loss.complete(lossOptions)
  return { loss, lossSettings, frozenPass: loss.frozen?.(lossSettings) }
}

/** Problems: a teacher or a reference that the loss does not use, or a missing teacher. */
function findAuxiliaryModelProblems(
  { teacher, reference }: TrainOptions,
  { loss, frozenPass }: LossRecipe,
): string[] {
  const role = frozenPass?.role
  const { name } = loss
  const problems: string[] = []
  if (role === 'teacher' && !teacher?.adapter && !teacher?.mixture && !teacher?.model)
    problems.push(`the loss "${name}" needs a teacher: { adapter }, { mixture } or { model }`)
  if (teacher?.adapter && teacher.mixture)
    problems.push('a teacher is an adapter or a mixture, not both')
  if (teacher && role !== 'teacher')
    problems.push(`a teacher is for the loss "distillation", not for "${name}"`)
  if (reference && role !== 'reference')
    problems.push(
      `a reference is for losses that compare with one; "${name}" with these options does not`,
    )
  return problems
}

/**
 * The recipe that options describe. Throws one OptionError that lists every unknown name and
 * everything wrong, for options from plain JavaScript too.
 */
export function resolveRecipe(options: TrainOptions): Recipe {
  const maxPositions = options?.model?.base?.graph?.config.maxPositions
  if (maxPositions === undefined)
    reportProblems('Training options', findTrainOptionProblems(options))
  const { settings, problems } = readSettings(options, maxPositions)
  const collector = new ProblemCollector(problems)
  const { optimizerOptions, weightDecay, scheduleOptions } = settings
  const schedule = collector.attempt(['schedule', 'scheduleOptions'], () =>
    resolveSchedule(settings.schedule, scheduleOptions),
  )
  const loss = collector.attempt(['loss', 'lossOptions'], () => resolveLoss(settings))
  const optimizer = collector.attempt(['optimizer', 'optimizerOptions', 'weightDecay'], () =>
    resolveOptimizer(settings.optimizer, { weightDecay, ...optimizerOptions }),
  )
  if (loss) collector.problems.push(...findAuxiliaryModelProblems(options, loss))
  reportProblems('Training options', collector.problems)
  return {
    settings,
    ...schedule!,
    ...loss!,
    ...optimizer!,
    ewc: options.ewc && { ...completeEwc(options.ewc), state: options.ewc.state },
  }
}

/** The learning rate of a step, counted from 1. */
export function computeLearningRate(
  { schedule, scheduleSettings }: UpdateRecipe,
  settings: Parameters<typeof computeWarmupSteps>[0] & { readonly learningRate: number },
  step: number,
  steps: number,
): number {
  const factor = computeLearningRateFactor(schedule, scheduleSettings, step, {
    steps,
    warmupSteps: computeWarmupSteps(settings, steps),
  })
  return settings.learningRate * factor
}

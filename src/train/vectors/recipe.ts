// The recipe of a run over vectors: its settings, and the optimiser and the schedule that they
// name. All problems of options are reported here, in one error.

import {
  ProblemCollector,
  resolveOptimizer,
  resolveSchedule,
  type UpdateRecipe,
} from '../options/recipe.ts'
import { findMissingOptions } from '../options/options.ts'
import { fillDefaults, reportProblems } from '../options/settings.ts'
import { findOptionProblems, isRecord } from '../../base/schema.ts'
import {
  type StandaloneOptions,
  standaloneOptionTable,
  type StandaloneSettings,
  standaloneSettingTable,
} from './options.ts'
import { standalonePresets } from './presets.ts'

export interface StandaloneRecipe extends UpdateRecipe {
  readonly settings: StandaloneSettings
}

const required = ['adapter', 'data'] as const

/** The recipe that options describe. Throws one OptionError that lists everything wrong. */
export function resolveStandaloneRecipe(options: StandaloneOptions): StandaloneRecipe {
  const given = isRecord(options) ? options : {}
  const preset = (standalonePresets as Readonly<Record<string, object>>)[options?.preset ?? '']
  const settings = fillDefaults({ ...preset, ...removeUndefined(given) }, standaloneSettingTable)
  const collector = new ProblemCollector([
    ...findOptionProblems(given, standaloneOptionTable),
    ...findMissingOptions(given, standaloneOptionTable, required),
  ])
  const optimizer = collector.attempt(['optimizer', 'optimizerOptions'], () =>
    resolveOptimizer(settings.optimizer, settings.optimizerOptions),
  )
  const schedule = collector.attempt(['schedule', 'scheduleOptions'], () =>
    resolveSchedule(settings.schedule, settings.scheduleOptions),
  )
  reportProblems('Standalone training', collector.problems)
  return { settings, ...optimizer!, ...schedule! }
}

/** An option that is undefined does not override a preset. */
const removeUndefined = (given: object): object =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))

// What a manifest may choose from in this package: the rows of the tables of kinds, schedules,
// optimisers, data formats and metrics.

import type { Fields } from '../../base/schema.ts'
import { adapterKinds } from '../../adapters/kinds/kind-table.ts'
import { presets } from '../../adapters/presets.ts'
import { type ChoiceRows, type Keys, type ManifestTables } from '../../manifest/keys.ts'
import { dataFormats } from '../../train/data/format-table.ts'
import { ewcTable } from '../../train/ewc/options.ts'
import { losses } from '../../train/objective/losses/loss-table.ts'
import { optimizers } from '../../train/optimizers/optimizer-table.ts'
import { schedules } from '../../train/schedules/schedule-table.ts'
import { settingTable } from '../../train/options/setting-table.ts'
import { metrics } from '../metric-table.ts'

/** Keys of a manifest from a table of training options. */
const keysOf = (table: Fields): Keys =>
  Object.fromEntries(
    Object.entries(table).map(([name, field]) => {
      const usual = field.default === undefined ? '' : `; ${String(field.default)} unless given`
      return [name, { field, about: (field.about ?? field.expected) + usual }]
    }),
  )

const rowsOf = (
  table: ReadonlyMap<string, { readonly about: string; readonly options: Fields }>,
): ChoiceRows =>
  new Map(
    [...table].map(([name, { about, options }]) => [name, { about, options: keysOf(options) }]),
  )

/**
 * In which section of a manifest a setting stands; those that choose a row of a table are sections
 * themselves.
 */
export const settingPlaces: Readonly<
  Record<keyof typeof settingTable, keyof ManifestTables['settings'] | 'section'>
> = {
  epochs: 'schedule',
  steps: 'schedule',
  maxTokens: 'batch',
  packing: 'batch',
  accumulation: 'batch',
  loss: 'section',
  optimizer: 'section',
  learningRate: 'schedule',
  schedule: 'section',
  warmupShare: 'schedule',
  warmupSteps: 'schedule',
  loraPlusRatio: 'optimizer',
  clip: 'optimizer',
  patience: 'schedule',
  minimumDelta: 'schedule',
  divergenceFactor: 'schedule',
  quantization: 'top',
  seed: 'top',
}

const settingsIn = (place: keyof ManifestTables['settings']): Keys =>
  keysOf(
    Object.fromEntries(
      Object.entries(settingTable).filter(
        ([name]) => settingPlaces[name as keyof typeof settingTable] === place,
      ),
    ),
  )

export const manifestTables = (): ManifestTables => ({
  kinds: adapterKinds,
  targets: [...presets.keys()],
  formats: [...dataFormats.keys()],
  schedules: rowsOf(schedules),
  optimizers: rowsOf(optimizers),
  losses: rowsOf(losses),
  settings: {
    batch: settingsIn('batch'),
    schedule: settingsIn('schedule'),
    optimizer: settingsIn('optimizer'),
    top: settingsIn('top'),
  },
  metrics: [...metrics.keys()],
  ewc: keysOf(ewcTable),
})

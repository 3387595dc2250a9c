// The choices of a training manifest in this package: the rows of the tables of kinds, schedules,
// optimisers, data formats and metrics.

import { type Fields, withInfo } from '../../base/schema.ts'
import { adapterKinds } from '../../adapters/kinds/kind-table.ts'
import { roles } from '../../adapters/roles.ts'
import { targetPresets } from '../../adapters/presets.ts'
import type { ChoiceTable, ManifestTables } from '../../manifest/training-keys.ts'
import { dataFormats } from '../../train/data/format-table.ts'
import { ewcTable } from '../../train/ewc/options.ts'
import { losses } from '../../train/losses/loss-table.ts'
import { optimizers } from '../../train/optimizers/optimizer-table.ts'
import { schedules } from '../../train/schedules/schedule-table.ts'
import { tierRecipes } from '../../train/options/adapter-tiers.ts'
import { descriptionTable } from '../../train/options/description.ts'
import { settingTable } from '../../train/options/setting-table.ts'
import { nodeMetrics } from '../metric-table.ts'

/** Options of training, each with its default in its sentence. */
const withDefaultsNamed = (table: Fields): Fields =>
  Object.fromEntries(
    Object.entries(table).map(([name, field]) => {
      const usual = field.default === undefined ? '' : ` (default: ${String(field.default)})`
      return [name, withInfo(field, { about: (field.about ?? field.expected) + usual })]
    }),
  )

const toChoiceTable = (
  table: ReadonlyMap<string, { readonly about: string; readonly options: Fields }>,
): ChoiceTable =>
  new Map(
    [...table].map(([name, { about, options }]) => [
      name,
      { about, options: withDefaultsNamed(options) },
    ]),
  )

/**
 * The section of a manifest for each setting; settings that choose a row of a table are sections
 * themselves.
 */
export const settingSections: Readonly<
  Record<keyof typeof settingTable, keyof ManifestTables['settings'] | 'section'>
> = {
  epochs: 'schedule',
  steps: 'schedule',
  maxTokens: 'batch',
  packing: 'batch',
  accumulation: 'batch',
  shards: 'batch',
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
  onDivergence: 'schedule',
  quantization: 'top',
  seed: 'top',
}

const selectSettings = (place: keyof ManifestTables['settings']): Fields =>
  withDefaultsNamed(
    Object.fromEntries(
      Object.entries(settingTable).filter(
        ([name]) => settingSections[name as keyof typeof settingTable] === place,
      ),
    ),
  )

export const collectManifestTables = (): ManifestTables => ({
  kinds: adapterKinds,
  targets: [...targetPresets.keys()],
  roles: [...roles.keys()],
  tiers: [...tierRecipes.keys()],
  formats: [...dataFormats.keys()],
  schedules: toChoiceTable(schedules),
  optimizers: toChoiceTable(optimizers),
  losses: toChoiceTable(losses),
  settings: {
    batch: selectSettings('batch'),
    schedule: selectSettings('schedule'),
    optimizer: selectSettings('optimizer'),
    top: selectSettings('top'),
  },
  metrics: [...nodeMetrics.keys()],
  ewc: withDefaultsNamed(ewcTable),
  description: descriptionTable,
})

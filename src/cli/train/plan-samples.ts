// The first rows of a run's data in the form that is trained on, for graft train --plan.

import type { LoadedModel } from '../../node/index.ts'
import type { TrainingRun } from '../../node/manifests/training-run.ts'
import type { TrainOptions } from '../../train/options/options.ts'
import { readSettings } from '../../train/options/settings.ts'
import { toRows, type TrainData } from '../../train/options/train-data.ts'
import { type RowSample, sampleRows } from '../../train/datasets/check-data.ts'

/** Rows that are shown, and rows among which they are looked for: those of weight 0 are not. */
const shownRows = 3
const searchedRows = 100

/** Some rows of a run through its chat template, cut where learned and read parts meet. */
export function samplePlannedRows(
  { options }: TrainingRun,
  { base }: Pick<LoadedModel, 'base'>,
  data: TrainData,
  now: Date,
): RowSample[] {
  const rows = toRows(data)
  const { tokenizer, chatTemplate, name, graph } = base
  if ('examples' in rows || !tokenizer) return []
  const own = Object.assign({}, options, { adapter: undefined }) as object as TrainOptions
  const { maxTokens } = readSettings(own, graph.config.maxPositions).settings
  const { system } = options
  const first = { name: rows.name, rows: rows.rows.slice(0, searchedRows) }
  const given = {
    ...(chatTemplate !== undefined && { chatTemplate }),
    ...(system !== undefined && { system }),
  }
  return sampleRows(first, {
    samples: shownRows,
    encoding: { model: name, tokenizer, maxTokens, now, ...given },
  })
}

// The EWC state of a standalone adapter after a task over vectors, which protects the task in later
// training.

import type { Adapter } from '../../adapters/adapter.ts'
import { createStandaloneModel } from '../../adapters/vectors/model.ts'
import { OptionError } from '../../base/errors.ts'
import { readOptions } from '../../base/schema.ts'
import type { EmbeddingDataset } from '../datasets/adapter-dataset.ts'
import { createTaskState, mergeTask } from '../ewc/consolidate.ts'
import { listLoraLayers } from '../ewc/lora-layers.ts'
import { ewcStateField, ewcTable } from '../ewc/options.ts'
import type { EwcState } from '../ewc/state.ts'
import { adapterField, findMissingOptions } from '../options/options.ts'
import { reportProblems } from '../options/settings.ts'
import { createVectorDataField } from './options.ts'

export interface ConsolidateStandaloneOptions {
  /** The adapter after training on the task. */
  readonly adapter: Adapter
  /** The task's examples. */
  readonly data: EmbeddingDataset
  /** The state of earlier tasks. */
  readonly previous?: EwcState
  /** The weight of earlier tasks: default 1, as much as this one; 0 not at all. */
  readonly decay?: number
}

const consolidateStandaloneTable = {
  adapter: adapterField,
  data: createVectorDataField(),
  previous: ewcStateField,
  decay: ewcTable.decay,
}

/**
 * Adds a task to the protected state. The curvature of the squared error is known, so no gradients
 * are sampled: ∂²L/∂ΔW_ij² = 2/D · E[x_j²] with the qualities as weights. So the importance of
 * column j is E[x_j²] divided by its mean, and all rows have the same importance. Throws
 * UnsupportedError for an adapter that is no plain LoRA, OptionError for a decay out of range or
 * data without quality.
 */
export function consolidateStandalone(options: ConsolidateStandaloneOptions): EwcState {
  const what = 'Options of consolidateStandalone'
  const { decay } = readOptions(what, options, consolidateStandaloneTable)
  const missing = findMissingOptions(options, consolidateStandaloneTable, ['adapter', 'data'])
  reportProblems(what, missing)
  const { adapter, data, previous } = options
  const { width, inputs, quality } = data
  if (!quality.some((value) => value > 0))
    throw new OptionError(`EWC: ${data.name} has no example with a quality above 0.`)
  const columns = new Float64Array(width)
  quality.forEach((weight, n) => {
    for (let j = 0; j < width; j++) columns[j]! += weight * inputs[n * width + j]! ** 2
  })
  const layers = listLoraLayers(createStandaloneModel(width).graph, adapter)
  const sums = { out: new Float64Array(width).fill(1), in: columns }
  const task = createTaskState(layers, adapter, new Map(layers.map(({ path }) => [path, sums])))
  return mergeTask(task, previous, decay)
}

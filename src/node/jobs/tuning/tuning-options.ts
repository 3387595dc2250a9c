// The options of training that a job's request becomes.

import { getDefaultLearningRate } from '../../../train/options/default-rates.ts'
import type { FreshAdapter } from '../../../train/options/options.ts'
import type { TuningJob } from '../../../server/api/jobs/job-service.ts'
import type { TrainJobOptions } from '../trainer.ts'

/** As OpenAI chooses for small files. */
const autoEpochs = 3

export interface TuningPlaces {
  /** The base as given to the server. */
  readonly source: string
  readonly training: string
  readonly validation: string | undefined
  /** The folder of an expert to train on. */
  readonly from: string | undefined
  readonly out: string
}

/** How many times the rows are read. */
export const getEpochs = ({ settings }: Pick<TuningJob, 'settings'>): number =>
  settings.epochs === 'auto' ? autoEpochs : settings.epochs

export function toTrainOptions(job: TuningJob, places: TuningPlaces): TrainJobOptions {
  const { settings, adapter, seed, method, name } = job
  const { source, training, validation, from, out } = places
  const { kind = 'lora', rank, targets } = adapter
  const { batchRows, rateMultiplier, beta } = settings
  const fresh: FreshAdapter = {
    kind,
    config: {
      ...(rank !== undefined && { rank }),
      ...(targets === undefined ? kind === 'lora' && { targets: 'all-linear' } : { targets }),
    },
  }
  return {
    model: source,
    data: training,
    out,
    adapter: from ?? fresh,
    seed,
    epochs: getEpochs(job),
    metadata: { name },
    ...(validation !== undefined && { validation }),
    ...(batchRows !== 'auto' && { batch: { rows: batchRows } }),
    ...(rateMultiplier !== 'auto' && {
      learningRate: rateMultiplier * getDefaultLearningRate(kind, 'adamw'),
    }),
    ...(method === 'dpo' && { loss: 'dpo' }),
    ...(beta !== 'auto' && { lossOptions: { beta } }),
  }
}

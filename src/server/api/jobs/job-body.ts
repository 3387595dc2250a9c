// Jobs, their events and checkpoints in OpenAI's form.

import type { TuningEvent, TuningJob, TuningSettings } from './job-service.ts'

export const toJobBody = (job: TuningJob) => ({
  id: job.id,
  object: 'fine_tuning.job',
  created_at: job.createdAt,
  finished_at: job.finishedAt ?? null,
  status: job.status,
  model: job.model,
  fine_tuned_model: job.tunedModel ?? null,
  organization_id: 'graft',
  training_file: job.trainingFile,
  validation_file: job.validationFile ?? null,
  result_files: job.resultFiles,
  trained_tokens: job.trainedTokens ?? null,
  seed: job.seed,
  error: job.error ? { code: job.error.code, message: job.error.message, param: null } : null,
  hyperparameters: toSettingsBody(job.settings),
  method: { type: job.method, [job.method]: { hyperparameters: toMethodSettings(job) } },
  metadata: job.metadata,
  integrations: [],
  estimated_finish: null,
  name: job.name,
  adapter: job.adapter,
})

const toSettingsBody = ({ epochs, batchRows, rateMultiplier }: TuningSettings) => ({
  n_epochs: epochs,
  batch_size: batchRows,
  learning_rate_multiplier: rateMultiplier,
})

const toMethodSettings = ({ method, settings }: TuningJob) => ({
  ...toSettingsBody(settings),
  ...(method === 'dpo' && { beta: settings.beta }),
})

export const toEventBody = ({ id, createdAt, level, message, metrics }: TuningEvent) => ({
  id,
  object: 'fine_tuning.job.event',
  created_at: createdAt,
  level,
  message,
  type: metrics ? 'metrics' : 'message',
  data: metrics ?? null,
})

/** Checkpoints with the losses that were known when they were written. */
export function listCheckpointBodies(job: TuningJob, events: readonly TuningEvent[]) {
  let metrics: Record<string, number> = {}
  return events.flatMap(({ id, createdAt, metrics: newer, checkpoint }) => {
    metrics = { ...metrics, ...newer }
    if (checkpoint === undefined) return []
    const { step = checkpoint, train_loss: trainLoss, valid_loss: validLoss } = metrics
    return [
      {
        id: id.replace('ftevent-', 'ftckpt_'),
        object: 'fine_tuning.job.checkpoint',
        created_at: createdAt,
        fine_tuning_job_id: job.id,
        fine_tuned_model_checkpoint: job.tunedModel ?? null,
        step_number: checkpoint,
        metrics: {
          step,
          ...(trainLoss !== undefined && { train_loss: trainLoss }),
          ...(validLoss !== undefined && { valid_loss: validLoss }),
        },
      },
    ]
  })
}

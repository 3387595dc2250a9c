// Records the events and the end of a job's run.

import type { FileStore } from '../../../server/api/files/file-store.ts'
import type { TuningJob } from '../../../server/api/jobs/job-service.ts'
import { toRequestError } from '../../../server/error-response.ts'
import type { TrainJob } from '../trainer.ts'
import { describeEvent, formatMetricsCsv } from './describe-event.ts'
import type { JobFolder } from './job-folder.ts'
import { isOpen, type JobLedger } from './job-ledger.ts'
import { getEpochs } from './tuning-options.ts'

export interface FollowingParts {
  readonly ledger: JobLedger
  readonly folder: JobFolder
  readonly files: FileStore
  /** By folder of a run: the name by which requests ask for its result. */
  readonly served: ReadonlyMap<string, string>
  /** Whether the program is shutting down: then the next start continues what is cut off. */
  readonly isClosing: () => boolean
  readonly onFailure: (what: string, error: unknown) => void
}

/** Resolves when the run has ended, however it ends. */
export async function followRun(
  job: TuningJob,
  run: TrainJob,
  parts: FollowingParts,
): Promise<void> {
  const { ledger, served, isClosing, onFailure } = parts
  const { id } = job
  const isCancelled = (): boolean => !isOpen(ledger.get(id))
  try {
    await takeEvents(job, run, ledger)
    const { isAdmitted, reason, out } = await run.done
    if (isCancelled()) return
    const resultFiles = [await keepMetrics(job, parts)]
    if (isAdmitted) {
      const tunedModel = served.get(out)
      const ended = { status: 'succeeded' as const, tunedModel, resultFiles }
      await ledger.end(id, ended, `The job is done: ${tunedModel} serves.`)
    } else {
      const message = `The result does not serve, because ${reason}.`
      await endAsFailed(ledger, id, { code: 'evaluation_not_passed', message }, resultFiles)
    }
  } catch (error) {
    if (isClosing() || isCancelled()) return
    const { status, code = 'training_failed', message } = toRequestError(error)
    if (status >= 500) onFailure(`the job ${id} failed`, error)
    await endAsFailed(ledger, id, { code, message })
  }
}

async function takeEvents(job: TuningJob, run: TrainJob, ledger: JobLedger): Promise<void> {
  const { id } = job
  for await (const event of run.events()) {
    if (!isOpen(ledger.get(id))) return
    if (event.type === 'process-started') await ledger.change(id, { status: 'running' })
    if (event.type === 'data-ready')
      await ledger.change(id, { trainedTokens: event.data.tokens * getEpochs(job) })
    const told = describeEvent(event)
    if (told) await ledger.tell(id, told)
  }
}

export async function endAsFailed(
  ledger: JobLedger,
  id: string,
  error: NonNullable<TuningJob['error']>,
  resultFiles: readonly string[] = [],
): Promise<void> {
  await ledger.end(id, { status: 'failed', error, resultFiles }, error.message)
}

/** The losses by step, as a file that the job's key may read. */
async function keepMetrics(
  { id, owner }: TuningJob,
  { files, folder, ledger }: FollowingParts,
): Promise<string> {
  const csv = formatMetricsCsv(await folder.listEvents(id))
  const file = await files.add(
    {
      name: 'step_metrics.csv',
      purpose: 'fine-tune-results',
      owner,
      createdAt: ledger.readSeconds(),
    },
    [new TextEncoder().encode(csv)],
  )
  return file.id
}

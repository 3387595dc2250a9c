// What a server or graft mcp stores for clients: their files and training jobs.

import { pickOptions } from '../../../base/schema.ts'
import type { Service } from '../../../server/service.ts'
import type { OpenedServing, ServedModelOptions } from '../open-serving.ts'
import { filesFields, type OpenedFiles, openFiles, type ServeFilesOptions } from './open-files.ts'
import { jobsFields, type OpenedJobs, openJobs, type ServeJobsOptions } from './open-jobs.ts'

export interface StoredOptions extends ServeFilesOptions, ServeJobsOptions {}

export const storedFields = { ...filesFields, ...jobsFields }

export interface OpenedStored {
  readonly opened: OpenedFiles
  readonly jobs: OpenedJobs['jobs']
  readonly service: Service
  /** Ends running jobs, so that the next start continues them. */
  stop(): Promise<void>
  close(): Promise<void>
}

/** Other options are ignored. */
export async function openStored(
  { service, registry }: OpenedServing,
  options: StoredOptions & ServedModelOptions,
): Promise<OpenedStored> {
  const { model, trainShare = 'background', requireSigned = [] } = options
  const opened = await openFiles(options.state, pickOptions(options, filesFields))
  try {
    const jobs = await openJobs(
      {
        opened,
        service,
        registry,
        source: model,
        share: trainShare,
        needsSignature: requireSigned.length > 0,
        onFailure: (what, error) =>
          void process.stderr.write(
            `graft: ${what}: ${error instanceof Error ? error.stack : String(error)}\n`,
          ),
      },
      pickOptions(options, jobsFields),
    )
    const close = async (): Promise<void> => {
      await jobs.close()
      await opened.close()
    }
    return { opened, jobs: jobs.jobs, service: jobs.service, stop: jobs.close, close }
  } catch (error) {
    await opened.close()
    throw error
  }
}

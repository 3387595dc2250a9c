// train: trains a new expert on rows, as a job; and the state of a job.

import { createField, integer, isRecord, string } from '../../../../base/schema.ts'
import type { FileStore } from '../../files/file-store.ts'
import { toEventBody, toJobBody } from '../../jobs/job-body.ts'
import { jobFields, readTuning } from '../../jobs/job-fields.ts'
import type { JobService, TuningJob } from '../../jobs/job-service.ts'
import { RequestError } from '../../../request-error.ts'
import { defineTool, type McpCaller, type McpTool } from '../mcp-tool.ts'

export interface TrainToolParts {
  readonly jobs: JobService
  readonly files: FileStore
  /** Seconds since 1970. */
  readonly readSeconds: () => number
}

const mostRows = 10_000
const shownEvents = 10

const rowsField = createField<readonly object[]>(
  `a list of 1 to ${mostRows} rows`,
  { type: 'array', minItems: 1, maxItems: mostRows, items: { type: 'object' } },
  (value) =>
    Array.isArray(value) && value.length > 0 && value.length <= mostRows && value.every(isRecord),
  { about: 'such as { "prompt", "completion" } or { "messages": [...] }' },
)

export const createTrainTool = (parts: TrainToolParts): McpTool =>
  defineTool({
    name: 'train',
    title: 'Train an expert',
    about:
      'Trains a new expert from rows in the background, as a job; it serves under its name when its loss on held-out rows is lower than that of what serves. Call it with "job" alone to see how a job goes.',
    scope: 'train',
    fields: {
      job: string({ filled: true, about: 'a job to look at; nothing is trained then' }),
      rows: rowsField,
      name: jobFields.suffix,
      model: string({ filled: true, about: 'what is trained on; default: the base' }),
      epochs: integer({ from: 1, to: 50, about: 'how often the rows are read; default 3' }),
      seed: jobFields.seed,
      adapter: jobFields.adapter,
    },
    required: [],
    isReadOnly: false,
    answer: {
      type: 'object',
      properties: { job: { type: 'object' }, events: { type: 'array', items: { type: 'object' } } },
      required: ['job', 'events'],
    },
    async run({ given, caller }) {
      const { job: id, rows, name, model, epochs, seed, adapter } = given
      if (id !== undefined && rows !== undefined)
        throw new RequestError(
          'job shows an existing job, rows start a new one. Give one of them.',
          {
            param: 'rows',
            code: 'invalid_value',
          },
        )
      if (id !== undefined) return describeJob(parts, await getOwnJob(parts.jobs, caller, id))
      if (rows === undefined)
        throw new RequestError('rows are missing.', { param: 'rows', code: 'missing_value' })
      const base = await caller.service.describe()
      const tuning = readTuning({
        model: model ?? base.name,
        ...(name !== undefined && { suffix: name }),
        ...(seed !== undefined && { seed }),
        ...(adapter && { adapter }),
        ...(epochs !== undefined && { hyperparameters: { n_epochs: epochs } }),
      })
      const training = await addRows(parts, caller, rows)
      try {
        const request = Object.assign(tuning, { training, validation: undefined })
        return await describeJob(parts, await parts.jobs.create(request, caller.owner))
      } finally {
        await parts.files.delete(training.id) // the job has copied the rows to its own folder
      }
    },
  })

const addRows = (
  { files, readSeconds }: TrainToolParts,
  { owner }: McpCaller,
  rows: readonly object[],
) =>
  files.add(
    { name: 'rows.jsonl', purpose: 'fine-tune', owner, createdAt: readSeconds() },
    rows.map((row) => new TextEncoder().encode(`${JSON.stringify(row)}\n`)),
  )

async function getOwnJob(
  jobs: JobService,
  { owner, scopes }: McpCaller,
  id: string,
): Promise<TuningJob> {
  const job = await jobs.find(id)
  if (job && (job.owner === owner || scopes === undefined || scopes.includes('admin'))) return job
  throw new RequestError(`There is no job ${JSON.stringify(id.slice(0, 100))}.`, {
    status: 404,
    param: 'job',
    code: 'job_not_found',
  })
}

async function describeJob({ jobs }: TrainToolParts, job: TuningJob) {
  const events = (await jobs.listEvents(job.id)).slice(-shownEvents)
  const lines = [`Job ${job.id}: ${job.status}.`, ...events.map(({ message }) => message)]
  return { text: lines.join('\n'), value: { job: toJobBody(job), events: events.map(toEventBody) } }
}

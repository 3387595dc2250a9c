// OpenAI's fine-tuning jobs: POST and GET /v1/fine_tuning/jobs, and the state, events, checkpoints
// and cancel of one job.

import { RequestError } from '../../request-error.ts'
import { defineRoute, type Route, type RouteCall, type ServerContext } from '../../route.ts'
import type { FileStore, StoredFile } from '../files/file-store.ts'
import { getOwner, getOwnFile, isShown } from '../files/own-files.ts'
import { readPage, toPageBody } from '../requests/page.ts'
import { listCheckpointBodies, toEventBody, toJobBody } from './job-body.ts'
import { type JobBody, jobForm, readTuning } from './job-fields.ts'
import type { JobService, TuningJob } from './job-service.ts'

export interface JobRouteParts {
  readonly files: FileStore
  readonly jobs: JobService
}

const path = '/v1/fine_tuning/jobs'
const shared = { scope: 'train', tag: 'Jobs' } as const
const answer = { type: 'object', required: ['id', 'object', 'status', 'model'] }

export const createJobRoutes = (parts: JobRouteParts): readonly Route[] => [
  createMakeRoute(parts),
  defineRoute({
    ...shared,
    method: 'GET',
    path,
    summary: 'Lists jobs, the newest first: ?limit=, ?after=, ?order=.',
    async handle({ context, query }) {
      const page = readPage(query, { limit: 20, mostLimit: 100 })
      const jobs = (await parts.jobs.list()).filter((job) => isShown(context, job))
      return Response.json(toPageBody(jobs.map(toJobBody), page))
    },
  }),
  defineRoute({
    ...shared,
    method: 'GET',
    path: `${path}/{job_id}`,
    summary: 'Describes a job.',
    answer,
    handle: async (call) => Response.json(toJobBody(await getOwnJob(parts.jobs, call))),
  }),
  defineRoute({
    ...shared,
    method: 'POST',
    path: `${path}/{job_id}/cancel`,
    summary: 'Ends a job that waits or runs.',
    answer,
    async handle(call) {
      const { id } = await getOwnJob(parts.jobs, call)
      return Response.json(toJobBody(await parts.jobs.cancel(id)))
    },
  }),
  defineRoute({
    ...shared,
    method: 'GET',
    path: `${path}/{job_id}/events`,
    summary: 'What happened to a job, the newest first: ?limit=, ?after=, ?order=.',
    async handle(call) {
      const page = readPage(call.query, { limit: 20, mostLimit: 10_000 })
      const { id } = await getOwnJob(parts.jobs, call)
      return Response.json(toPageBody((await parts.jobs.listEvents(id)).map(toEventBody), page))
    },
  }),
  defineRoute({
    ...shared,
    method: 'GET',
    path: `${path}/{job_id}/checkpoints`,
    summary: 'Steps from which a job can resume, the newest first: ?limit=, ?after=, ?order=.',
    async handle(call) {
      const page = readPage(call.query, { limit: 10, mostLimit: 1000 })
      const job = await getOwnJob(parts.jobs, call)
      const checkpoints = listCheckpointBodies(job, await parts.jobs.listEvents(job.id))
      return Response.json(toPageBody(checkpoints, page))
    },
  }),
]

const createMakeRoute = (parts: JobRouteParts): Route =>
  defineRoute({
    ...shared,
    method: 'POST',
    path,
    summary: 'Trains an expert from a file of rows; it serves when its evaluation passes.',
    body: jobForm,
    answer,
    async handle({ body, context }) {
      const request = await readRequest(parts.files, body, context)
      return Response.json(toJobBody(await parts.jobs.create(request, getOwner(context))))
    },
  })

async function readRequest(files: FileStore, body: JobBody, context: ServerContext) {
  const find = async (param: 'training_file' | 'validation_file'): Promise<StoredFile> => {
    const file = await getOwnFile(files, context, body[param]!, param)
    if (file.purpose === 'fine-tune') return file
    throw new RequestError(
      `${param}: ${file.id} has the purpose "${file.purpose}", expected "fine-tune".`,
      { param, code: 'invalid_value' },
    )
  }
  return Object.assign(readTuning(body), {
    training: await find('training_file'),
    validation: body.validation_file === undefined ? undefined : await find('validation_file'),
  })
}

async function getOwnJob(
  jobs: JobService,
  { context, parameters }: Pick<RouteCall, 'context' | 'parameters'>,
): Promise<TuningJob> {
  const { job_id: id = '' } = parameters
  const job = await jobs.find(id)
  if (job && isShown(context, job)) return job
  throw new RequestError(`There is no job ${JSON.stringify(id.slice(0, 100))}.`, {
    status: 404,
    code: 'job_not_found',
  })
}

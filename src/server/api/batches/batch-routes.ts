// OpenAI's batches: POST and GET /v1/batches, GET /v1/batches/{batch_id}, and POST to its cancel.

import { createField, type GivenOptions, isRecord, oneOf, string } from '../../../base/schema.ts'
import { RequestError } from '../../request-error.ts'
import { defineRoute, type Route, type RouteCall, type ServerContext } from '../../route.ts'
import type { FileStore } from '../files/file-store.ts'
import { getOwner, getOwnFile, isShown } from '../files/own-files.ts'
import { readPage, toPageBody } from '../requests/page.ts'
import { type RequestBatch, noUsage, toBatchBody } from './batch.ts'
import { batchEndpoints } from './batch-lines.ts'
import type { BatchRunner } from './batch-runner.ts'

export interface BatchRouteParts {
  readonly files: FileStore
  readonly runner: BatchRunner
}

const longestWindowSeconds = 7 * 86_400
const mostPairs = 16

const isMetadata = (value: unknown): value is Readonly<Record<string, string>> =>
  isRecord(value) &&
  Object.keys(value).length <= mostPairs &&
  Object.entries(value).every(
    ([key, text]) => key.length <= 64 && typeof text === 'string' && text.length <= 512,
  )

interface ExpiresAfter {
  readonly anchor: 'created_at'
  readonly seconds: number
}

const isExpiresAfter = (value: unknown): value is ExpiresAfter => {
  if (!isRecord(value) || Object.keys(value).length !== 2) return false
  const { anchor, seconds } = value
  const isWhole = Number.isSafeInteger(seconds)
  return (
    anchor === 'created_at' &&
    isWhole &&
    (seconds as number) >= 3600 &&
    (seconds as number) <= 2_592_000
  )
}

const fields = {
  input_file_id: string({ filled: true, about: 'a file with the purpose "batch": requests' }),
  endpoint: oneOf(batchEndpoints, { about: 'the route that all requests ask' }),
  completion_window: string({ filled: true, about: 'as "24h": from 1m to 168h' }),
  metadata: createField<Readonly<Record<string, string>>>(
    `an object of at most ${mostPairs} texts`,
    { type: 'object', additionalProperties: { type: 'string' } },
    isMetadata,
    { about: 'given back with the batch' },
  ),
  output_expires_after: createField<ExpiresAfter>(
    '{ "anchor": "created_at", "seconds": from 3600 to 2592000 }',
    { type: 'object', required: ['anchor', 'seconds'] },
    isExpiresAfter,
    { about: 'how long the files of results are kept' },
  ),
}

const tag = 'Batches'
const answer = { type: 'object', required: ['id', 'object', 'status', 'request_counts'] }

export const createBatchRoutes = (parts: BatchRouteParts): readonly Route[] => [
  defineRoute({
    method: 'POST',
    path: '/v1/batches',
    scope: 'infer',
    tag,
    summary: 'Answers the requests of a file in the background.',
    body: { fields, required: ['input_file_id', 'endpoint', 'completion_window'] },
    answer,
    handle: (call) => startBatch(parts, call),
  }),
  defineRoute({
    method: 'GET',
    path: '/v1/batches',
    scope: 'infer',
    tag,
    summary: 'Lists batches, the newest first: ?limit=, ?order=, ?after=.',
    handle: (call) => listBatches(parts.runner, call),
  }),
  defineRoute({
    method: 'GET',
    path: '/v1/batches/{batch_id}',
    scope: 'infer',
    tag,
    summary: 'Describes a batch.',
    answer,
    async handle({ context, parameters }) {
      const batch = await getOwnBatch(parts.runner, context, parameters.batch_id!)
      return Response.json(toBatchBody(batch))
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/v1/batches/{batch_id}/cancel',
    scope: 'infer',
    tag,
    summary: 'Ends a batch; what is answered stays in its output.',
    answer,
    handle: (call) => endBatch(parts.runner, call),
  }),
]

async function startBatch(
  { files, runner }: BatchRouteParts,
  { context, body, created, createId }: RouteCall<GivenOptions<typeof fields>>,
): Promise<Response> {
  const { input_file_id: fileId, endpoint, completion_window: window } = body
  const seconds = readWindow(window!)
  const { purpose } = await getOwnFile(files, context, fileId!, 'input_file_id')
  if (purpose !== 'batch')
    throw new RequestError(
      `input_file_id: the file has the purpose "${purpose}", expected "batch".`,
      { param: 'input_file_id', code: 'invalid_value' },
    )
  const batch: RequestBatch = {
    id: createId('batch_'),
    status: 'validating',
    endpoint: endpoint!,
    inputFileId: fileId!,
    completionWindow: window!,
    owner: getOwner(context),
    metadata: body.metadata,
    outputSeconds: body.output_expires_after?.seconds,
    createdAt: created,
    expiresAt: created + seconds,
    times: {},
    problems: [],
    counts: { total: 0, completed: 0, failed: 0 },
    usage: noUsage,
  }
  await runner.add(batch)
  return Response.json(toBatchBody(batch))
}

async function endBatch(
  runner: BatchRunner,
  { context, parameters }: RouteCall,
): Promise<Response> {
  const batch = await getOwnBatch(runner, context, parameters['batch_id']!)
  const { id, status } = batch
  if (status === 'cancelling') return Response.json(toBatchBody(batch))
  const cancelled = await runner.cancel(id)
  if (cancelled) return Response.json(toBatchBody(cancelled))
  throw new RequestError(`The batch ${id} is ${status}, and cannot be cancelled any more.`, {
    status: 409,
    code: 'batch_ended',
  })
}

/** '24h' and similar in seconds. */
function readWindow(text: string): number {
  const [, count, unit] = /^(\d{1,6})([mh])$/.exec(text) ?? []
  const seconds = Number(count) * (unit === 'h' ? 3600 : 60)
  if (seconds > 0 && seconds <= longestWindowSeconds) return seconds
  throw new RequestError(
    `completion_window: got ${JSON.stringify(text.slice(0, 40))}, expected hours or minutes such as "24h" or "30m", up to "168h".`,
    { param: 'completion_window', code: 'invalid_value' },
  )
}

async function listBatches(runner: BatchRunner, { context, query }: RouteCall): Promise<Response> {
  const page = readPage(query, { limit: 20, mostLimit: 100 })
  const shown = (await runner.list()).filter((batch) => isShown(context, batch))
  return Response.json(toPageBody(shown.map(toBatchBody), page))
}

async function getOwnBatch(
  runner: BatchRunner,
  context: ServerContext,
  id: string,
): Promise<RequestBatch> {
  const batch = await runner.find(id)
  if (batch && isShown(context, batch)) return batch
  throw new RequestError(`There is no batch ${JSON.stringify(id.slice(0, 100))}.`, {
    status: 404,
    code: 'batch_not_found',
  })
}

// OpenAI's files: POST and GET /v1/files, GET and DELETE /v1/files/{file_id}, and their content.

import { RequestError } from '../../request-error.ts'
import { defineRoute, type Route, type RouteCall } from '../../route.ts'
import { readPage, toPageBody } from '../requests/page.ts'
import { filePurposes, type FileStore, type StoredFile } from './file-store.ts'
import { getOwner, getOwnFile, isAllowed, isShown } from './own-files.ts'
import { readUpload } from './read-upload.ts'

export interface FileRouteParts {
  readonly files: FileStore
  /** Bytes of one file. */
  readonly maxFileBytes: number
  /** Bytes of all of them. */
  readonly maxTotalBytes: number
}

export const toFileBody = ({ id, name, purpose, sizeBytes, createdAt, expiresAt }: StoredFile) => ({
  id,
  object: 'file',
  bytes: sizeBytes,
  created_at: createdAt,
  expires_at: expiresAt ?? null,
  filename: name,
  purpose,
  status: 'processed',
  status_details: null,
})

const tag = 'Files'

const createUploadRoute = (parts: FileRouteParts): Route =>
  defineRoute({
    method: 'POST',
    path: '/v1/files',
    scope: 'infer',
    tag,
    summary: 'Keeps a file: rows to learn from (fine-tune) or requests (batch).',
    ownBody: {
      contentType: 'multipart/form-data',
      schema: {
        type: 'object',
        required: ['file', 'purpose'],
        properties: {
          file: { type: 'string', contentMediaType: 'application/octet-stream' },
          purpose: { enum: ['fine-tune', 'batch'] },
          'expires_after[anchor]': { const: 'created_at' },
          'expires_after[seconds]': { type: 'integer' },
        },
      },
    },
    answer: { type: 'object', required: ['id', 'object', 'bytes', 'filename', 'purpose'] },
    handle: (call) => addFile(parts, call),
  })

export const createFileRoutes = (parts: FileRouteParts): readonly Route[] => [
  createUploadRoute(parts),
  defineRoute({
    method: 'GET',
    path: '/v1/files',
    scope: 'infer',
    tag,
    summary: 'Lists files, the newest first: ?purpose=, ?limit=, ?order=, ?after=.',
    handle: (call) => listFiles(parts.files, call),
  }),
  defineRoute({
    method: 'GET',
    path: '/v1/files/{file_id}',
    scope: 'infer',
    tag,
    summary: 'Describes a file.',
    async handle({ context, parameters }) {
      return Response.json(toFileBody(await getOwnFile(parts.files, context, parameters.file_id!)))
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/v1/files/{file_id}/content',
    scope: 'infer',
    tag,
    summary: 'The bytes of a file.',
    contentType: 'application/octet-stream',
    handle: (call) => readFile(parts.files, call),
  }),
  defineRoute({
    method: 'DELETE',
    path: '/v1/files/{file_id}',
    scope: 'infer',
    tag,
    summary: 'Removes a file; jobs and batches that run have what they need.',
    async handle({ context, parameters }) {
      const { id } = await getOwnFile(parts.files, context, parameters.file_id!)
      await parts.files.delete(id)
      return Response.json({ id, object: 'file', deleted: true })
    },
  }),
]

async function addFile(parts: FileRouteParts, { context, created }: RouteCall): Promise<Response> {
  const { files, maxFileBytes, maxTotalBytes } = parts
  const { name, purpose, content, lifetimeSeconds } = await readUpload(context, maxFileBytes)
  if (purpose === 'fine-tune' && !isAllowed(context, 'train'))
    throw new RequestError('A file of training data needs a key with the scope "train".', {
      status: 403,
      param: 'purpose',
      code: 'insufficient_scope',
    })
  const kept = (await files.list()).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  if (kept + content.size > maxTotalBytes)
    throw new RequestError(
      `The file has ${content.size} bytes, and ${kept} of ${maxTotalBytes} are in use. Delete files that are no longer needed.`,
      { status: 413, param: 'file', code: 'storage_full' },
    )
  const file = await files.add(
    {
      name,
      purpose,
      owner: getOwner(context),
      createdAt: created,
      expiresAt: lifetimeSeconds === undefined ? undefined : created + lifetimeSeconds,
    },
    [new Uint8Array(await content.arrayBuffer())],
  )
  return Response.json(toFileBody(file))
}

async function listFiles(files: FileStore, { context, query }: RouteCall): Promise<Response> {
  const page = readPage(query, { further: ['purpose'], limit: 10_000, mostLimit: 10_000 })
  const purpose = query.get('purpose')
  if (purpose !== null && !(filePurposes as readonly string[]).includes(purpose))
    throw new RequestError(
      `purpose: got ${JSON.stringify(purpose.slice(0, 100))}, expected one of ${filePurposes.join(', ')}.`,
      { param: 'purpose', code: 'invalid_value' },
    )
  const shown = (await files.list()).filter(
    (file) => isShown(context, file) && (purpose === null || file.purpose === purpose),
  )
  return Response.json(toPageBody(shown.map(toFileBody), page))
}

async function readFile(files: FileStore, { context, parameters }: RouteCall): Promise<Response> {
  const { id, name, sizeBytes } = await getOwnFile(files, context, parameters.file_id!)
  return new Response(await files.read(id), {
    headers: {
      'content-type': 'application/octet-stream',
      'content-length': String(sizeBytes),
      'content-disposition': `attachment; filename*=UTF-8''${encodeURIComponent(name)}`,
    },
  })
}

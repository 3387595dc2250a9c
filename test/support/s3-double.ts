// A small server that answers as S3 does for what Graft asks of it: objects with etags, conditions
// of puts and deletes, listings in pages. It refuses requests whose signature is wrong.

import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { signRequest } from '../../src/node/stores/s3-signature.ts'

export const doubleKeys = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'secret' }

interface StoredObject {
  bytes: Buffer
  readonly etag: string
  readonly metadata: Readonly<Record<string, string>>
  /** As ISO 8601; now unless a test gives it. */
  modified?: string
}

export interface S3Double {
  /** An address with a prefix of its own. */
  createAddress(): string
  readonly objects: Map<string, StoredObject>
  /** What the next requests get in place of an answer: a status, or a broken connection. */
  readonly faults: (number | 'broken' | 'answer lost')[]
  isFull: boolean
  stop(): Promise<void>
}

const bucket = 'graft'
const pageSize = 3

const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

const fail = (response: ServerResponse, status: number, code: string, message: string): void =>
  void response
    .writeHead(status, { 'content-type': 'application/xml' })
    .end(`<Error><Code>${code}</Code><Message>${message}</Message></Error>`)

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** Whether the request bears the signature that its signed headers ask for. */
function isSigned(request: IncomingMessage, url: URL, body: Buffer): boolean {
  const given = request.headers.authorization ?? ''
  const [, region, names] =
    /Credential=test\/\d+\/([^/]+)\/s3\/aws4_request,SignedHeaders=([^,]+),/.exec(given) ?? []
  const time = String(request.headers['x-amz-date'])
  const date = new Date(
    time.replace(/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/, '$1-$2-$3T$4:$5:$6Z'),
  )
  if (!names || Number.isNaN(date.getTime())) return false
  const own = names
    .split(';')
    .filter((name) => !['host', 'x-amz-content-sha256', 'x-amz-date'].includes(name))
  const headers = Object.fromEntries(own.map((name) => [name, String(request.headers[name])]))
  const credentials = { accessKeyId: 'test', secretAccessKey: 'secret' }
  const signed = { method: request.method!, url, headers, body }
  return signRequest(signed, credentials, region!, date)['authorization'] === given
}

/** Keys of a page, and what follows it. */
function listPage(objects: ReadonlyMap<string, StoredObject>, query: URLSearchParams): string {
  const prefix = query.get('prefix') ?? ''
  const delimiter = query.get('delimiter')
  const after = query.get('continuation-token') ?? ''
  const names = [...objects.keys()].filter((key) => key.startsWith(prefix)).sort()
  const rows = names.map((key) => {
    const end = delimiter === null ? -1 : key.indexOf(delimiter, prefix.length)
    return end < 0 ? { key } : { key: key.slice(0, end + 1), isFolder: true }
  })
  const all = [...new Map(rows.map((row) => [row.key, row])).values()]
  const left = all.filter(({ key }) => key > after)
  const page = left.slice(0, pageSize)
  const items = page.map(({ key, isFolder }) =>
    isFolder
      ? `<CommonPrefixes><Prefix>${escapeXml(key)}</Prefix></CommonPrefixes>`
      : `<Contents><Key>${escapeXml(key)}</Key><Size>${objects.get(key)!.bytes.length}</Size><LastModified>${objects.get(key)!.modified ?? new Date().toISOString()}</LastModified></Contents>`,
  )
  const next =
    left.length > pageSize
      ? `<NextContinuationToken>${escapeXml(page.at(-1)!.key)}</NextContinuationToken>`
      : ''
  return `<ListBucketResult>${items.join('')}${next}</ListBucketResult>`
}

/** Answers a put. */
function putObject(
  double: S3Double,
  request: IncomingMessage,
  key: string,
  body: Buffer,
  response: ServerResponse,
): void {
  const found = double.objects.get(key)
  const wanted = request.headers['if-match']
  if (double.isFull) return fail(response, 507, 'XMinioStorageFull', 'The storage is full.')
  if (request.headers['if-none-match'] === '*' && found)
    return fail(response, 412, 'PreconditionFailed', 'A condition does not hold.')
  if (wanted !== undefined && !found) return fail(response, 404, 'NoSuchKey', 'No such key.')
  if (wanted !== undefined && wanted !== found?.etag)
    return fail(response, 412, 'PreconditionFailed', 'A condition does not hold.')
  const etag = `"${createHash('md5').update(body).digest('hex')}"`
  const metadata = Object.entries(request.headers).filter(([name]) =>
    name.startsWith('x-amz-meta-'),
  )
  double.objects.set(key, {
    bytes: body,
    etag,
    metadata: Object.fromEntries(metadata.map(([name, value]) => [name, String(value)])),
  })
  response.writeHead(200, { etag }).end()
}

/** Answers anything but a put. */
function answerOther(
  double: S3Double,
  request: IncomingMessage,
  key: string,
  url: URL,
  response: ServerResponse,
): void {
  if (key === '')
    return void response.writeHead(200).end(listPage(double.objects, url.searchParams))
  const found = double.objects.get(key)
  if (request.method === 'DELETE') {
    const wanted = request.headers['if-match']
    if (wanted !== undefined && found && wanted !== found.etag)
      return fail(response, 412, 'PreconditionFailed', 'A condition does not hold.')
    double.objects.delete(key)
    return void response.writeHead(204).end()
  }
  if (!found) return fail(response, 404, 'NoSuchKey', 'The specified key does not exist.')
  response
    .writeHead(200, { etag: found.etag, ...found.metadata })
    .end(request.method === 'HEAD' ? undefined : found.bytes)
}

async function answer(
  double: S3Double,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url!, `http://${request.headers.host}`)
  const body = await readBody(request)
  const fault = double.faults.shift()
  if (fault === 'broken') return void request.socket.destroy()
  if (typeof fault === 'number') return fail(response, fault, 'SlowDown', 'Please slow down.')
  if (!isSigned(request, url, body))
    return fail(response, 403, 'SignatureDoesNotMatch', 'The signature is wrong.')
  const [, place, key = ''] = /^\/([^/]+)\/?(.*)$/.exec(decodeURIComponent(url.pathname)) ?? []
  if (place !== bucket)
    return fail(response, 404, 'NoSuchBucket', 'The specified bucket does not exist.')
  if (request.method === 'PUT') putObject(double, request, key, body, response)
  else answerOther(double, request, key, url, response)
  if (fault === 'answer lost') request.socket.destroy()
}

export async function startS3Double(): Promise<S3Double> {
  let prefixes = 0
  const server = createServer((request, response) => void answer(double, request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const double: S3Double = {
    objects: new Map(),
    faults: [],
    isFull: false,
    createAddress: () =>
      `s3://${bucket}/place-${prefixes++}/a%20b?endpoint=${encodeURIComponent(`http://127.0.0.1:${port}`)}`,
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return double
}

// Objects of an S3 bucket, or of a compatible service (MinIO, Ceph, R2): get, conditional put,
// delete, list. Plain HTTP with own signatures; AWS's credential chain is asked where its package
// is installed and the environment has no keys.

import { setTimeout as sleep } from 'node:timers/promises'
import { StorageError } from '../../base/errors.ts'
import { toStorageError } from '../files/system-errors.ts'
import { openCredentials, parseAddress, type S3Address, type S3Environment } from './s3-address.ts'
import { encodePart, signRequest } from './s3-signature.ts'

export interface S3Object {
  readonly etag: string
  /** Headers x-amz-meta-…, without that beginning. */
  readonly metadata: Readonly<Record<string, string>>
  readonly bytes: Uint8Array
}

/** The condition of a put: the object does not exist, or has this etag. */
export type PutCondition = { readonly absent: true } | { readonly etag: string }

export interface S3Put {
  readonly bytes: Uint8Array
  readonly metadata?: Readonly<Record<string, string>>
  readonly condition?: PutCondition
}

/** The new etag, or a condition that does not hold. */
export type S3Written =
  | { readonly etag: string }
  | {
      readonly etag: undefined
      /**
       * The request was sent more than once, so its condition may have failed because of an earlier
       * attempt.
       */
      readonly isUncertain: boolean
    }

export interface S3Key {
  readonly key: string
  readonly sizeBytes: number
  /** Milliseconds since 1970. */
  readonly modifiedMs: number
}

export interface S3Listing {
  readonly keys: readonly S3Key[]
  /** What is between the prefix and the next "/", where one was asked for. */
  readonly folders: readonly string[]
}

/** Keys are below the address's prefix. */
export interface S3Bucket {
  readonly name: string
  /** Throws StorageError if the bucket is unreachable, does not exist, or refuses the keys. */
  check(): Promise<void>
  /** `sizeBytes`, if known, determines the time limit. */
  get(key: string, sizeBytes?: number): Promise<S3Object | undefined>
  /** The object without its bytes. */
  head(key: string): Promise<Omit<S3Object, 'bytes'> | undefined>
  put(key: string, put: S3Put): Promise<S3Written>
  /** `etag`: only where it has this one, on servers that look at it. */
  delete(key: string, etag?: string): Promise<void>
  list(prefix: string, byFolder?: boolean): Promise<S3Listing>
}

const waitsMs = [100, 400, 1600] // before a request is sent again
/** A request may take a minute, and longer for many bytes. */
const timeoutMs = 60_000
const slowestBytesPerMs = 500
const noBytes = new Uint8Array(0)

const decodeXml = (text: string): string =>
  text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&apos;', "'")
    .replaceAll('&amp;', '&')

const findTag = (xml: string, tag: string): string | undefined => {
  const found = new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(xml)?.[1]
  return found === undefined ? undefined : decodeXml(found)
}
const listElements = (xml: string, tag: string): string[] =>
  [...xml.matchAll(new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`, 'g'))].map(([, inner]) => inner!)

interface S3Request {
  readonly method: string
  readonly key?: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** Of the answer, where it is known. */
  readonly sizeBytes?: number
}

/** Opens a bucket. Sends no request before the first call. */
export async function openS3Bucket(
  address: string,
  environment: S3Environment = process.env,
): Promise<S3Bucket> {
  const parsed = parseAddress(address, environment)
  const getCredentials = await openCredentials(environment)
  const sendOnce = async (given: S3Request) => {
    const { method, key, query, headers = {}, body, sizeBytes = body?.length ?? 0 } = given
    const path = key === undefined ? '' : (parsed.prefix + key).split('/').map(encodePart).join('/')
    const url = new URL(parsed.base.href + path)
    for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value)
    const credentials = await getCredentials()
    const request = { method, url, headers, body: body ?? noBytes }
    return fetch(url, {
      method,
      headers: signRequest(request, credentials, parsed.region, new Date()),
      signal: AbortSignal.timeout(timeoutMs + Math.ceil(sizeBytes / slowestBytesPerMs)),
      ...(body && { body: body as Uint8Array<ArrayBuffer> }),
    })
  }
  const send: SendRequest = async (request) => {
    for (const [tries, wait] of [...waitsMs, undefined].entries()) {
      try {
        const response = await sendOnce(request)
        if (wait === undefined || ![500, 502, 503, 504].includes(response.status))
          return { response, tries }
        await response.arrayBuffer()
      } catch (cause) {
        const inner = cause instanceof Error ? (cause.cause ?? cause) : cause
        if (wait === undefined) throw toStorageError(`${parsed.name}: cannot be reached`, inner)
      }
      await sleep(wait)
    }
    throw new Error('internal: a request to S3 was neither answered nor refused')
  }
  return createBucket(parsed, send)
}

/** The error of an answer that is neither success nor a condition that does not hold. */
async function toRefusal(what: string, response: Response): Promise<StorageError> {
  const xml = await response.text()
  const code = findTag(xml, 'Code') ?? String(response.status)
  const reason =
    response.status === 507 || /StorageFull|QuotaExceeded/.test(code)
      ? 'the storage is full'
      : (findTag(xml, 'Message') ?? response.statusText)
  return new StorageError(`${what}: ${reason.replace(/\.$/, '')} (${code}).`)
}

function toObject(response: Response): Omit<S3Object, 'bytes'> {
  const metadata = [...response.headers].flatMap(([name, value]) =>
    name.startsWith('x-amz-meta-') ? [[name.slice('x-amz-meta-'.length), value] as const] : [],
  )
  return { etag: response.headers.get('etag') ?? '', metadata: Object.fromEntries(metadata) }
}

/** The answer, and how often the request had been sent before. */
type SendRequest = (request: S3Request) => Promise<{ response: Response; tries: number }>

function createBucket({ name, prefix: root }: S3Address, send: SendRequest): S3Bucket {
  const ask = async (
    method: 'GET' | 'HEAD',
    key: string,
    sizeBytes = 0,
  ): Promise<Response | undefined> => {
    const { response } = await send({ method, key, sizeBytes })
    if (response.ok) return response
    // a missing bucket is named in the body
    if (response.status === 404 && (method === 'HEAD' || !(await isBucketGone(response))))
      return undefined
    throw await toRefusal(`${name}: cannot be read`, response)
  }
  return {
    name,
    async check() {
      await (await ask('GET', 'graft'))?.body?.cancel()
    },
    async get(key, sizeBytes) {
      const response = await ask('GET', key, sizeBytes)
      if (!response) return undefined
      const bytes = await response.arrayBuffer().catch((cause: unknown) => {
        throw toStorageError(`${name}: cannot be read`, cause)
      })
      return { ...toObject(response), bytes: new Uint8Array(bytes) }
    },
    async head(key) {
      const response = await ask('HEAD', key)
      return response && toObject(response)
    },
    async put(key, { bytes, metadata = {}, condition }) {
      const headers = Object.fromEntries(
        Object.entries(metadata).map(([of, value]) => [`x-amz-meta-${of}`, value]),
      )
      if (condition && 'absent' in condition) headers['if-none-match'] = '*'
      else if (condition) headers['if-match'] = condition.etag
      const { response, tries } = await send({ method: 'PUT', key, headers, body: bytes })
      const isRefused =
        [409, 412].includes(response.status) ||
        (response.status === 404 && !(await isBucketGone(response)))
      if (condition && isRefused) return { etag: undefined, isUncertain: tries > 0 }
      if (!response.ok) throw await toRefusal(`${name}: cannot be written`, response)
      await response.arrayBuffer()
      return { etag: response.headers.get('etag') ?? '' }
    },
    async delete(key, etag) {
      const headers = etag === undefined ? {} : { 'if-match': etag }
      const { response } = await send({ method: 'DELETE', key, headers })
      if (!response.ok && ![404, 409, 412].includes(response.status))
        throw await toRefusal(`${name}: cannot be written`, response)
    },
    list: (prefix, byFolder = false) => listObjects({ name, root, send }, prefix, byFolder),
  }
}

/** All pages of a listing. */
async function listObjects(
  {
    name,
    root,
    send,
  }: { readonly name: string; readonly root: string; readonly send: SendRequest },
  prefix: string,
  byFolder: boolean,
): Promise<S3Listing> {
  const keys: S3Key[] = []
  const folders: string[] = []
  let token: string | undefined
  do {
    const query: Record<string, string> = { 'list-type': '2', prefix: root + prefix }
    if (byFolder) query['delimiter'] = '/'
    if (token !== undefined) query['continuation-token'] = token
    const { response } = await send({ method: 'GET', query })
    if (!response.ok) throw await toRefusal(`${name}: cannot be listed`, response)
    const xml = await response.text()
    for (const item of listElements(xml, 'Contents'))
      keys.push({
        key: findTag(item, 'Key')!.slice(root.length),
        sizeBytes: Number(findTag(item, 'Size')),
        modifiedMs: Date.parse(findTag(item, 'LastModified') ?? ''),
      })
    for (const item of listElements(xml, 'CommonPrefixes'))
      folders.push(findTag(item, 'Prefix')!.slice(root.length + prefix.length, -1))
    token = findTag(xml, 'NextContinuationToken')
  } while (token !== undefined)
  return { keys, folders }
}

/** Whether a 404 is of the bucket, not of the object. */
const isBucketGone = async (response: Response): Promise<boolean> =>
  findTag(await response.clone().text(), 'Code') === 'NoSuchBucket'

// The objects of one content in an S3 bucket: its files under their own prefix, and a list of them
// that is written last. So files of an earlier, damaged or unfinished copy are never mixed in.

import { FormatError } from '../../../base/errors.ts'
import { isRecord } from '../../../base/field.ts'
import { findPathProblem } from '../../../registry/signing/resources.ts'
import type { S3Bucket, S3Written } from '../../stores/s3-client.ts'

export interface ContentFile {
  readonly path: string
  readonly sizeBytes: number
}

/** The list of a content's files. */
export interface KeptFiles {
  /** Between the hash and the paths in the keys of the files. */
  readonly place: string
  readonly files: readonly ContentFile[]
  /** SHA-256 of the signature, which no content hash covers; null without one. */
  readonly signature: string | null
}

export interface FoundFiles extends KeptFiles {
  readonly etag: string
}

const layout = 1

/** Keys of a bucket that name content. */
export const contentPrefix = 'content/'
const listSuffix = '.json'

const formatListKey = (hash: string): string => `${contentPrefix}${hash}${listSuffix}`

export const formatFileKey = (hash: string, place: string, path: string): string =>
  `${contentPrefix}${hash}/${place}/${path}`

/** The content that a key names; undefined for foreign keys. */
export function parseKey(key: string): { hash: string; place: string | undefined } | undefined {
  const [, hash, place] = /^content\/([0-9a-f]{64})(?:\.json|\/([0-9a-f-]+)\/.+)$/.exec(key) ?? []
  return hash === undefined ? undefined : { hash, place }
}

const isFile = (value: unknown): value is ContentFile =>
  isRecord(value) &&
  typeof value['path'] === 'string' &&
  findPathProblem(value['path']) === undefined &&
  Number.isSafeInteger(value['sizeBytes']) &&
  Number(value['sizeBytes']) >= 0

function isList(value: unknown): value is KeptFiles & { readonly layout: number } {
  if (!isRecord(value) || value['layout'] !== layout) return false
  const { place, files, signature } = value
  return (
    typeof place === 'string' &&
    /^[0-9a-f-]+$/.test(place) &&
    Array.isArray(files) &&
    files.every(isFile) &&
    (signature === null || typeof signature === 'string')
  )
}

/** The list, or undefined. Throws FormatError for one that this version cannot read. */
export async function readKeptFiles(
  bucket: S3Bucket,
  hash: string,
): Promise<FoundFiles | undefined> {
  const object = await bucket.get(formatListKey(hash))
  if (object === undefined) return undefined
  const value = parseJson(new TextDecoder().decode(object.bytes))
  if (!isList(value))
    throw new FormatError(
      `${bucket.name}: ${formatListKey(hash)} is not a list of files that this version of Graft can read.`,
    )
  const { place, files, signature } = value
  return { place, files, signature, etag: object.etag }
}

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Writes the list if there is none, or replaces the one that was found. */
export function writeKeptFiles(
  bucket: S3Bucket,
  hash: string,
  { place, files, signature }: KeptFiles,
  found: FoundFiles | undefined,
): Promise<S3Written> {
  const text = JSON.stringify({ layout, place, files, signature })
  const condition = found ? { etag: found.etag } : ({ absent: true } as const)
  return bucket.put(formatListKey(hash), { bytes: new TextEncoder().encode(text), condition })
}

export const removeList = (bucket: S3Bucket, hash: string): Promise<void> =>
  bucket.delete(formatListKey(hash))

/** Hashes that have a list. */
export async function listKept(bucket: S3Bucket): Promise<string[]> {
  const { keys } = await bucket.list(contentPrefix, true)
  return keys.flatMap(({ key }) => {
    const known = parseKey(key)
    return known && known.place === undefined ? [known.hash] : []
  })
}

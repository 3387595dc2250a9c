// Descriptors of OCI (image specification 1.1): a media type, a digest, a size; and the paths of an
// image layout. Independent of experts.

import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { describeValue, isRecord } from '../../base/schema.ts'
import { quoteName } from '../../formats/quote.ts'

export interface Descriptor {
  readonly mediaType: string
  /** `sha256:` and 64 hexadecimal digits. */
  readonly digest: string
  readonly size: number
  readonly annotations?: Readonly<Record<string, string>>
}

export const ociMediaTypes = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
} as const

/** The annotation by which tools name an image of a layout: `skopeo inspect oci:folder:name`. */
export const refNameKey = 'org.opencontainers.image.ref.name'

export const layoutFile = 'oci-layout'
export const indexFile = 'index.json'
export const layoutText = '{"imageLayoutVersion":"1.0.0"}\n'

/** 'blobs/sha256/4f…' */
export const getBlobPath = (hash: string): string => `blobs/sha256/${hash}`

export const toDigest = (hash: string): string => `sha256:${hash}`

/** The hexadecimal digits of a digest. Throws UnsupportedError for another algorithm. */
export function parseDigest(digest: string, name: string): string {
  const [, hash] = /^sha256:([0-9a-f]{64})$/.exec(digest) ?? []
  if (hash === undefined)
    throw new UnsupportedError(
      `${name}: got the digest ${quoteName(digest)}, expected "sha256:" and 64 hexadecimal digits.`,
    )
  return hash
}

/** Throws FormatError, UnsupportedError for a digest of another algorithm. */
export function readDescriptor(value: unknown, name: string): Descriptor {
  if (!isRecord(value)) throw refuse(name, `got ${describeValue(value)}, expected an object`)
  const { mediaType, digest, size, annotations = {} } = value
  if (typeof mediaType !== 'string') throw refuse(name, 'mediaType: expected a string')
  if (typeof digest !== 'string') throw refuse(name, 'digest: expected a string')
  if (!Number.isSafeInteger(size) || (size as number) < 0)
    throw refuse(name, `size: got ${describeValue(size)}, expected a number of bytes`)
  if (!isRecord(annotations) || !Object.values(annotations).every(isText))
    throw refuse(name, 'annotations: expected an object of texts')
  parseDigest(digest, name)
  const texts = annotations as Readonly<Record<string, string>>
  return { mediaType, digest, size: size as number, annotations: texts }
}

/** Hashes of all blobs that a descriptor, a manifest or an index names; others are left out. */
export function listDigests(value: unknown): string[] {
  if (!isRecord(value)) return []
  const { digest, config, layers, manifests } = value
  const [, hash] = /^sha256:([0-9a-f]{64})$/.exec(String(digest)) ?? []
  const lists = [layers, manifests].flatMap((list): unknown[] => (Array.isArray(list) ? list : []))
  return [...(hash === undefined ? [] : [hash]), ...[config, ...lists].flatMap(listOwnDigest)]
}

const listOwnDigest = (value: unknown): string[] =>
  isRecord(value) ? listDigests({ digest: value['digest'] }) : []

const isText = (value: unknown): boolean => typeof value === 'string'

const refuse = (name: string, reason: string): FormatError =>
  new FormatError(`${name}: is not an OCI descriptor: ${reason}.`)

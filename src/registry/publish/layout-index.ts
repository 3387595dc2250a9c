// The index of published experts: index.json of an OCI image layout. Every version is an image
// whose annotations hold its manifest; a channel is a second name of the same image.

import semver from 'semver'
import { FormatError, GraftError, NotFoundError } from '../../base/errors.ts'
import { describeValue, isRecord } from '../../base/schema.ts'
import { findNearestName } from '../../base/suggest.ts'
import { quoteName } from '../../formats/quote.ts'
import { checkExpertManifest } from '../manifest/expert-manifest.ts'
import { isChannelName, parseReference, selectVersion } from '../reference.ts'
import type { RegisteredExpert } from '../registry.ts'
import {
  type Descriptor,
  indexFile,
  ociMediaTypes,
  parseDigest,
  readDescriptor,
  refNameKey,
  toDigest,
} from './descriptor.ts'
import { encodeJson } from './image.ts'
import { readJson } from './read-json.ts'

/** A version that is published; `addedAt` is when. */
export interface PublishedExpert extends RegisteredExpert {
  /** The image's manifest. */
  readonly image: PublishedImage
  /** The same files as a plain image, for tools that read no other; absent in older layouts. */
  readonly plain?: PublishedImage | undefined
  /** By embedder, in 8 bits and base64: what searches by meaning compare. */
  readonly vectors?: Readonly<Record<string, string>> | undefined
}

export interface PublishedImage {
  readonly hash: string
  readonly sizeBytes: number
}

export interface LayoutIndex {
  readonly experts: readonly PublishedExpert[]
  /** Entries of Graft's that cannot be read: by reference, with the reason. */
  readonly faults: readonly { readonly name: string; readonly error: GraftError }[]
  /** Images of other tools, which are kept. */
  readonly others: readonly unknown[]
}

export const emptyIndex: LayoutIndex = { experts: [], faults: [], others: [] }

const keys = {
  manifest: 'dev.graftlm.manifest',
  hash: 'dev.graftlm.hash',
  sizeBytes: 'dev.graftlm.size',
  published: 'dev.graftlm.published',
  channelOf: 'dev.graftlm.channel-of',
  plainOf: 'dev.graftlm.plain-of',
  vectors: 'dev.graftlm.vectors',
} as const

/** Throws FormatError for a file that is not an OCI index. */
export function readLayoutIndex(bytes: Uint8Array, name: string): LayoutIndex {
  const value = readJson(bytes, name)
  const list = isRecord(value) && value['schemaVersion'] === 2 ? value['manifests'] : undefined
  if (!Array.isArray(list))
    throw new FormatError(
      `${name}: is not an index of an OCI image layout: there are no manifests.`,
    )
  const versions = new Map<string, Omit<PublishedExpert, 'channels'>>()
  const channels = new Map<string, string[]>()
  const plains = new Map<string, PublishedImage>()
  const faults: { name: string; error: GraftError }[] = []
  const others: unknown[] = []
  for (const [i, entry] of list.entries()) {
    const annotations =
      isRecord(entry) && isRecord(entry['annotations']) ? entry['annotations'] : {}
    const refName = String(annotations[refNameKey] ?? `manifests[${i}]`)
    try {
      if (annotations[keys.manifest] !== undefined) {
        const expert = readExpert(readDescriptor(entry, `${name}: ${quoteName(refName)}`), name)
        versions.set(`${expert.id}/${expert.version}`, expert)
      } else if (annotations[keys.channelOf] !== undefined) {
        const { channel, target } = readChannel(refName, annotations[keys.channelOf], name)
        channels.set(target, [...(channels.get(target) ?? []), channel])
      } else if (annotations[keys.plainOf] !== undefined) {
        const { digest, size } = readDescriptor(entry, `${name}: ${quoteName(refName)}`)
        const image = { hash: parseDigest(digest, name), sizeBytes: size }
        plains.set(String(annotations[keys.plainOf]), image)
      } else others.push(entry)
    } catch (error) {
      if (!GraftError.isInstance(error)) throw error
      faults.push({ name: refName, error })
      others.push(entry) // it may be of a newer Graft
    }
  }
  const experts = [...versions].map(([refName, expert]) => {
    const plain = plains.get(refName)
    return Object.assign({}, expert, { channels: channels.get(refName) ?? [] }, plain && { plain })
  })
  return { experts, faults, others }
}

function readExpert(
  { mediaType, digest, size, annotations = {} }: Descriptor,
  indexName: string,
): Omit<PublishedExpert, 'channels'> {
  const refName = annotations[refNameKey] ?? ''
  const name = `${indexName}: ${quoteName(refName)}`
  const manifest = readJson(new TextEncoder().encode(annotations[keys.manifest]), name)
  checkExpertManifest(manifest, name)
  const { id, version, tags = [] } = manifest
  const hash = annotations[keys.hash] ?? ''
  const sizeBytes = Number(annotations[keys.sizeBytes])
  const addedAt = annotations[keys.published] ?? ''
  const vectors = readVectors(annotations[keys.vectors], name)
  const problems = [
    ...(refName === `${id}/${version}` ? [] : [`is of ${id}/${version} by its manifest`]),
    ...(mediaType === ociMediaTypes.manifest ? [] : [`mediaType: got ${quoteName(mediaType)}`]),
    ...(/^[0-9a-f]{64}$/.test(hash) ? [] : [`${keys.hash}: got ${quoteName(hash)}`]),
    ...(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0
      ? []
      : [`${keys.sizeBytes}: got ${describeValue(annotations[keys.sizeBytes])}`]),
    ...(!isTime(addedAt) ? [`${keys.published}: got ${quoteName(addedAt)}`] : []),
  ]
  if (problems.length > 0) throw new FormatError(`${name}: ${problems.join('; ')}.`)
  const image = { hash: parseDigest(digest, name), sizeBytes: size }
  const expert = { id, version, hash, sizeBytes, addedAt, tags, manifest, image }
  return vectors ? Object.assign(expert, { vectors }) : expert
}

function readVectors(text: string | undefined, name: string): PublishedExpert['vectors'] {
  if (text === undefined) return undefined
  const value = readJson(new TextEncoder().encode(text), name)
  if (isRecord(value) && Object.values(value).every((one) => typeof one === 'string'))
    return value as Readonly<Record<string, string>>
  throw new FormatError(
    `${name}: ${keys.vectors}: got ${describeValue(value)}, expected texts by embedder.`,
  )
}

const isTime = (text: string): boolean =>
  /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(text) && !Number.isNaN(Date.parse(text))

/** 'coder/stable' of version 1.2.0 */
function readChannel(refName: string, version: unknown, indexName: string) {
  const [id, channel, ...more] = refName.split('/')
  if (id === undefined || channel === undefined || more.length > 0 || !isChannelName(channel))
    throw new FormatError(`${indexName}: ${quoteName(refName)}: is not a channel of an expert.`)
  return { channel, target: `${id}/${String(version)}` }
}

/** The file of an index; the same index gives the same bytes. */
export function encodeLayoutIndex({ experts, others }: LayoutIndex): Uint8Array {
  const sorted = experts.toSorted(
    (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0) || semver.rcompare(a.version, b.version),
  )
  return encodeJson({
    schemaVersion: 2,
    mediaType: ociMediaTypes.index,
    manifests: [...sorted.flatMap(toDescriptors), ...others],
  })
}

/** One of the version, one of it as a plain image, and one of each of its channels. */
function toDescriptors(expert: PublishedExpert): Descriptor[] {
  const { id, version, hash, sizeBytes, addedAt, channels, manifest, image, plain, vectors } =
    expert
  const toEntry = (annotations: Readonly<Record<string, string>>, own = image): Descriptor => ({
    mediaType: ociMediaTypes.manifest,
    digest: toDigest(own.hash),
    size: own.sizeBytes,
    annotations,
  })
  const name = `${id}/${version}`
  return [
    toEntry({
      [refNameKey]: name,
      [keys.hash]: hash,
      [keys.sizeBytes]: String(sizeBytes),
      [keys.published]: addedAt,
      [keys.manifest]: JSON.stringify(manifest),
      ...(vectors && { [keys.vectors]: JSON.stringify(vectors) }),
    }),
    ...(plain ? [toEntry({ [refNameKey]: `${name}/image`, [keys.plainOf]: name }, plain)] : []),
    ...channels
      .toSorted()
      .map((channel) => toEntry({ [refNameKey]: `${id}/${channel}`, [keys.channelOf]: version })),
  ]
}

/**
 * The index with the version added. A channel of the new version is removed from the expert's other
 * versions.
 */
export function addToIndex(index: LayoutIndex, expert: PublishedExpert): LayoutIndex {
  const left = index.experts
    .filter(({ id, version }) => id !== expert.id || version !== expert.version)
    .map((other) =>
      other.id === expert.id
        ? Object.assign({}, other, {
            channels: other.channels.filter((channel) => !expert.channels.includes(channel)),
          })
        : other,
    )
  return { experts: [...left, expert], faults: index.faults, others: index.others }
}

/**
 * The version that a reference means. Throws NotFoundError that lists the published ones; if the
 * entry cannot be read, the error of reading it.
 */
export function resolvePublished(
  { experts, faults }: LayoutIndex,
  text: string,
  place: string,
): PublishedExpert {
  const reference = parseReference(text)
  const versions = experts.filter(({ id }) => id === reference.id)
  const fault = faults.find(({ name }) => name.startsWith(`${reference.id}/`))
  if (versions.length === 0 && fault) throw fault.error
  if (versions.length === 0) {
    const ids = [...new Set(experts.map(({ id }) => id))]
    const meant = findNearestName(reference.id, ids)
    const hint =
      meant === undefined ? ` It has ${ids.length} experts.` : ` Did you mean "${meant}"?`
    throw new NotFoundError(
      `${place}: there is no expert ${quoteName(reference.id)} in ${indexFile}.${hint}`,
    )
  }
  return selectVersion(reference, versions, listChannels(versions))
}

const listChannels = (versions: readonly PublishedExpert[]): Record<string, string> =>
  Object.fromEntries(
    versions.flatMap(({ version, channels }) => channels.map((channel) => [channel, version])),
  )

/** The newest version of each expert, or all versions of one. */
export function listPublished({ experts }: LayoutIndex, id?: string): PublishedExpert[] {
  const groups = Map.groupBy(experts, (expert) => expert.id)
  if (id !== undefined)
    return (groups.get(id) ?? []).toSorted((a, b) => semver.rcompare(a.version, b.version))
  return [...groups]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, versions]) =>
      selectVersion({ id: name, choice: { type: 'latest' } }, versions, {}),
    )
}

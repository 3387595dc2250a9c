// An expert as an OCI image by ModelPack (CNCF model-spec): one layer for each file, uncompressed,
// so that any web server can hold it and any tool of OCI can copy it.

import { FormatError, SignatureError, UnsupportedError } from '../../base/errors.ts'
import { isRecord } from '../../base/schema.ts'
import { joinProblems, quoteName } from '../../formats/quote.ts'
import type { ExpertManifest } from '../manifest/manifest-fields.ts'
import {
  computeRootDigest,
  findPathProblem,
  listResources,
  signatureFile,
} from '../signing/resources.ts'
import {
  type Descriptor,
  ociMediaTypes,
  parseDigest,
  readDescriptor,
  toDigest,
} from './descriptor.ts'
import { readJson } from './read-json.ts'

/** A file of an expert, by its path in the expert's folder. */
export interface ImageFile {
  readonly path: string
  /** SHA-256 in hexadecimal. */
  readonly hash: string
  readonly sizeBytes: number
}

const artifactType = 'application/vnd.cncf.model.manifest.v1+json'
const configType = 'application/vnd.cncf.model.config.v1+json'
const layerType =
  /^application\/vnd\.cncf\.model\.(weight|weight\.config|doc|code|dataset)\.v1\.raw$/
const pathKey = 'org.cncf.model.filepath'
/** Of the layer with the card for the hub, which is no file of the expert. */
const cardKey = 'dev.graftlm.card'

/** An expert has at most so many files. */
export const mostFiles = 1000

const layerKinds: readonly (readonly [RegExp, string])[] = [
  [/\.(safetensors|gguf|bin)$/i, 'weight'],
  [/(\.(md|txt|svg)|^(LICENSE|NOTICE)[^/]*)$/i, 'doc'],
]

/** The layer's media type by a file's path: weights, documents, or configuration for all others. */
export function selectLayerType(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1)
  const kind = layerKinds.find(([pattern]) => pattern.test(name))?.[1] ?? 'weight.config'
  return `application/vnd.cncf.model.${kind}.v1.raw`
}

export interface ImageParts {
  readonly manifest: ExpertManifest
  /** The content hash of the files: their root digest. */
  readonly hash: string
  readonly files: readonly ImageFile[]
  /** The card for the hub. */
  readonly card?: Omit<ImageFile, 'path'> | undefined
}

/** The configuration blob of an image; the same expert gives the same bytes. */
export function encodeImageConfig({ manifest, files, card }: ImageParts): Uint8Array {
  const { id, version, name, description, author, license, created } = manifest
  const layers = [...files.map(({ hash }) => hash), ...(card ? [card.hash] : [])]
  return encodeJson({
    descriptor: {
      name: id,
      version,
      ...(name !== undefined && { title: name }),
      ...(description !== undefined && { description }),
      ...(author !== undefined && { authors: [author] }),
      ...(license !== undefined && { licenses: [license] }),
      ...(created !== undefined && { createdAt: created }),
    },
    config: {
      architecture: 'transformer',
      format: 'safetensors',
      capabilities: { inputTypes: ['text'], outputTypes: ['text'] },
    },
    modelfs: { type: 'layers', diffIds: layers.map(toDigest) },
  })
}

/** The manifest blob of an image over a configuration blob. */
export function encodeImage(parts: ImageParts, config: Omit<ImageFile, 'path'>): Uint8Array {
  const { manifest, hash, files, card } = parts
  const toLayer = (file: Omit<ImageFile, 'path'>, path: string): Descriptor => ({
    mediaType: selectLayerType(path),
    digest: toDigest(file.hash),
    size: file.sizeBytes,
    annotations: { [pathKey]: path },
  })
  const layers = files.map((file) => toLayer(file, file.path))
  if (card) {
    const layer = toLayer(card, 'README.md')
    layers.push({ ...layer, annotations: { [pathKey]: 'README.md', [cardKey]: 'true' } })
  }
  return encodeJson({
    schemaVersion: 2,
    mediaType: ociMediaTypes.manifest,
    artifactType,
    config: { mediaType: configType, digest: toDigest(config.hash), size: config.sizeBytes },
    layers,
    annotations: createAnnotations(manifest, hash),
  })
}

/**
 * The configuration of a plain image over the same layers, for tools that read images but not
 * artifacts, such as `skopeo inspect`. The image is never run, so its system is "unknown".
 */
export function encodePlainConfig({ manifest, hash, files, card }: ImageParts): Uint8Array {
  const layers = [...files.map((file) => file.hash), ...(card ? [card.hash] : [])]
  const { created } = manifest
  return encodeJson({
    ...(created !== undefined && { created }),
    architecture: 'unknown',
    os: 'unknown',
    config: { Labels: createAnnotations(manifest, hash) },
    rootfs: { type: 'layers', diff_ids: layers.map(toDigest) },
  })
}

/** The manifest of the plain image: that of ModelPack with another configuration. */
export function encodePlainImage(image: Uint8Array, config: Omit<ImageFile, 'path'>): Uint8Array {
  const value = readJson(image, 'image')
  const { layers, annotations } = value as Readonly<Record<string, unknown>>
  return encodeJson({
    schemaVersion: 2,
    mediaType: ociMediaTypes.manifest,
    config: {
      mediaType: ociMediaTypes.config,
      digest: toDigest(config.hash),
      size: config.sizeBytes,
    },
    layers,
    annotations,
  })
}

/** ModelPack has no field for "adapter of this base", so annotations say it. */
function createAnnotations(
  { id, version, kind, base, description, license }: ExpertManifest,
  hash: string,
): Record<string, string> {
  return {
    'org.opencontainers.image.title': id,
    'org.opencontainers.image.version': version,
    ...(description !== undefined && { 'org.opencontainers.image.description': description }),
    ...(license !== undefined && { 'org.opencontainers.image.licenses': license }),
    'dev.graftlm.kind': typeof kind === 'string' ? kind : kind.join('+'),
    ...(base.id !== undefined && { 'dev.graftlm.base.id': base.id }),
    ...(base.sha256 !== undefined && { 'dev.graftlm.base.sha256': base.sha256 }),
    'dev.graftlm.hash': hash,
  }
}

/**
 * The files of an expert in an image, without the card. Throws FormatError for paths that leave the
 * folder, collide, or are too many, UnsupportedError for images of other tools.
 */
export function readImage(bytes: Uint8Array, name: string): ImageFile[] {
  const value = readJson(bytes, name)
  if (!isRecord(value) || value['artifactType'] !== artifactType)
    throw new UnsupportedError(
      `${name}: has the artifact type ${quoteName(String(isRecord(value) ? value['artifactType'] : undefined))}, expected ${artifactType}.`,
    )
  const { layers } = value
  if (!Array.isArray(layers)) throw new FormatError(`${name}: layers: expected a list.`)
  if (layers.length > mostFiles + 1)
    throw new FormatError(`${name}: has ${layers.length} layers, expected at most ${mostFiles}.`)
  const files = layers.flatMap((layer, i) => readLayer(layer, `${name}: layers[${i}]`))
  checkPaths(files, name)
  return files
}

function readLayer(value: unknown, name: string): ImageFile[] {
  const { mediaType, digest, size, annotations = {} } = readDescriptor(value, name)
  if (!layerType.test(mediaType))
    throw new UnsupportedError(
      `${name}: has the media type ${quoteName(mediaType)}; this reads files as they are, in layers of ModelPack that end with ".raw".`,
    )
  if (annotations[cardKey] === 'true') return []
  const path = annotations[pathKey]
  if (path === undefined) throw new FormatError(`${name}: has no ${pathKey}: no file's path.`)
  return [{ path, hash: parseDigest(digest, name), sizeBytes: size }]
}

/** Throws FormatError with everything that is wrong with paths of files of one folder. */
export function checkPaths(files: readonly Pick<ImageFile, 'path'>[], name: string): void {
  const seen = new Set<string>()
  const problems = files.flatMap(({ path }) => {
    if (seen.has(path)) return [`${quoteName(path)}: occurs twice`]
    seen.add(path)
    if (/\p{Cc}/u.test(path)) return [`${quoteName(path)}: contains control codes`]
    return findPathProblem(path) ?? []
  })
  for (const path of seen)
    for (let at = path.indexOf('/'); at > 0; at = path.indexOf('/', at + 1))
      if (seen.has(path.slice(0, at)))
        problems.push(`${quoteName(path)}: is in ${quoteName(path.slice(0, at))}, a file`)
  if (problems.length > 0)
    throw new FormatError(
      `${name}: contains files that no folder can have:\n${joinProblems(problems)}`,
    )
}

/** The root digest of files by their hashes, without the signature. */
export async function computeContentHash(files: readonly ImageFile[]): Promise<string> {
  const listed = files.map(({ path, hash, sizeBytes }) => ({
    path,
    sizeBytes,
    hash: async () => hash,
  }))
  return computeRootDigest(await listResources(listed, [signatureFile]))
}

/** Throws SignatureError if the files of an image are not those of this content hash. */
export async function verifyContentHash(
  files: readonly ImageFile[],
  hash: string,
  name: string,
): Promise<void> {
  const got = await computeContentHash(files)
  if (got !== hash)
    throw new SignatureError(
      `${name}: its files have the hash sha256:${got}, and the index has sha256:${hash}. Ask its publisher.`,
    )
}

export const encodeJson = (value: unknown): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)

// A signature file: a Sigstore bundle with a DSSE envelope around an in-toto statement that lists the
// files (OMS 1.0, sections 4 and 5). Made and read here; keys are in ecdsa.ts, files in resources.ts.

import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { createField, describeValue, isRecord } from '../../base/schema.ts'
import { findJsonProblem } from '../../formats/json-problem.ts'
import { joinProblems } from '../../formats/quote.ts'
import { decodeBase64, encodeBase64, type SigningKey, readVerifyingKey } from './ecdsa.ts'
import {
  compareByCodePoint,
  computeRootDigest,
  defaultIgnoredPaths,
  findPathProblem,
  type Resource,
} from './resources.ts'

const mediaType = 'application/vnd.dev.sigstore.bundle.v0.3+json'
const mediaTypes =
  /^application\/vnd\.dev\.sigstore\.bundle(\.v0\.[1-9]\d*\+json|\+json;version=0\.[1-9]\d*)$/
const payloadType = 'application/vnd.in-toto+json'
const statementType = 'https://in-toto.io/Statement/v1'
const predicateType = 'https://model_signing/signature/v1.0'

/** How the files were listed. */
export interface Serialization {
  readonly method: string
  readonly hashType: string
  readonly allowSymlinks: boolean
  readonly ignorePaths: readonly string[]
}

export interface SignatureBundle {
  /** The bytes that the key signed: payload and its type in DSSE's encoding. */
  readonly signedBytes: Uint8Array
  readonly signature: Uint8Array
  /** SHA-256 of the signer's PEM file; undefined if the bundle is of an older kind. */
  readonly hint: string | undefined
  readonly subject: string
  readonly rootDigest: string
  readonly resources: readonly Resource[]
  readonly serialization: Serialization
}

/** DSSE's pre-authentication encoding: "DSSEv1 <bytes> <type> <bytes> <payload>". */
export function encodeForSigning(type: string, payload: Uint8Array): Uint8Array {
  const encoder = new TextEncoder()
  const head = encoder.encode(`DSSEv1 ${encoder.encode(type).length} ${type} ${payload.length} `)
  const bytes = new Uint8Array(head.length + payload.length)
  bytes.set(head)
  bytes.set(payload, head.length)
  return bytes
}

/** Signs a list of files; returns the bundle's JSON text. `ignored`: paths that were left out. */
export async function signResources(
  resources: readonly Resource[],
  key: SigningKey,
  { name, ignored = [] }: { readonly name: string; readonly ignored?: readonly string[] },
): Promise<string> {
  const statement = {
    _type: statementType,
    subject: [{ name, digest: { sha256: await computeRootDigest(resources) } }],
    predicateType,
    predicate: {
      resources,
      serialization: {
        method: 'files',
        hash_type: 'sha256',
        allow_symlinks: false,
        ignore_paths: [...defaultIgnoredPaths, ...ignored],
      },
    },
  }
  const payload = new TextEncoder().encode(JSON.stringify(statement))
  const signature = await key.sign(encodeForSigning(payloadType, payload))
  const { hint } = await readVerifyingKey(key.publicPem)
  const bundle = {
    mediaType,
    verificationMaterial: { publicKey: { hint }, tlogEntries: [] },
    dsseEnvelope: {
      payload: encodeBase64(payload),
      payloadType,
      signatures: [{ sig: encodeBase64(signature), keyid: '' }],
    },
  }
  return `${JSON.stringify(bundle, null, 2)}\n`
}

const deepest = 16

/**
 * Reads a bundle and checks its form; verifies nothing. Throws FormatError for another file,
 * UnsupportedError for one that is signed by certificates or in pieces of files.
 */
export async function parseBundle(text: string, name: string): Promise<SignatureBundle> {
  const bundle = parseJson(text, name)
  const { verificationMaterial: material, dsseEnvelope: envelope } = bundle
  if (typeof bundle['mediaType'] !== 'string' || !mediaTypes.test(bundle['mediaType']))
    throw refuse(
      name,
      `mediaType: got ${describeValue(bundle['mediaType'])}, expected "${mediaType}"`,
    )
  if (!isRecord(material)) throw refuse(name, 'verificationMaterial is missing')
  if (!isRecord(envelope)) throw refuse(name, 'dsseEnvelope is missing')
  for (const kind of ['x509CertificateChain', 'certificate'])
    if (kind in material)
      throw new UnsupportedError(
        `${name}: is signed by a certificate (${kind}); this reads signatures by keys. Verify it with model-signing or cosign.`,
      )
  const publicKey = material['publicKey']
  if (!isRecord(publicKey)) throw refuse(name, 'verificationMaterial.publicKey is missing')
  const hint = typeof publicKey['hint'] === 'string' ? publicKey['hint'] : undefined
  const signatures: unknown = envelope['signatures']
  const [entry, ...others] = Array.isArray(signatures) ? (signatures as unknown[]) : []
  const sig = isRecord(entry) && others.length === 0 ? entry['sig'] : undefined
  const signature = typeof sig === 'string' ? decodeBase64(sig) : undefined
  const payload =
    typeof envelope['payload'] === 'string' ? decodeBase64(envelope['payload']) : undefined
  if (!signature || !payload) throw refuse(name, 'expected one signature and a payload in base64')
  if (envelope['payloadType'] !== payloadType)
    throw refuse(
      name,
      `payloadType: got ${describeValue(envelope['payloadType'])}, expected "${payloadType}"`,
    )
  const statement = await parseStatement(new TextDecoder().decode(payload), name)
  return { ...statement, hint, signature, signedBytes: encodeForSigning(payloadType, payload) }
}

function parseJson(text: string, name: string): Record<string, unknown> {
  const problem = findJsonProblem(text, deepest)
  if (problem !== undefined) throw refuse(name, `is not JSON: ${problem}`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw refuse(name, 'is not JSON')
  }
  if (!isRecord(value)) throw refuse(name, `got ${describeValue(value)}, expected an object`)
  return value
}

async function parseStatement(
  text: string,
  name: string,
): Promise<Pick<SignatureBundle, 'subject' | 'rootDigest' | 'resources' | 'serialization'>> {
  const statement = parseJson(text, `${name}: payload`)
  if (statement['_type'] !== statementType || statement['predicateType'] !== predicateType)
    throw refuse(
      name,
      `got a statement of type ${describeValue(statement['predicateType'])}, expected "${predicateType}"`,
    )
  const { predicate, subject: subjects } = statement
  const subject: unknown = Array.isArray(subjects) ? subjects[0] : undefined
  const digest = isRecord(subject) && isRecord(subject['digest']) ? subject['digest'] : undefined
  const rootDigest = digest?.['sha256']
  if (!isRecord(subject) || typeof subject['name'] !== 'string' || !isDigest(rootDigest))
    throw refuse(name, 'subject: expected one with a name and a sha256 digest')
  if (!isRecord(predicate)) throw refuse(name, 'predicate is missing')
  const serialization = readSerialization(predicate['serialization'], name)
  const resources = readResources(predicate['resources'], name)
  const computed = await computeRootDigest(resources)
  if (computed !== rootDigest)
    throw refuse(
      name,
      `its root digest ${rootDigest} is not that of the files it lists, ${computed}`,
    )
  return { subject: subject['name'], rootDigest, resources, serialization }
}

const isDigest = (value: unknown): value is string =>
  typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)

const resourceField = createField<Resource>(
  '{ name, digest, algorithm: "sha256" }',
  {},
  (value) =>
    isRecord(value) &&
    typeof value['name'] === 'string' &&
    isDigest(value['digest']) &&
    value['algorithm'] === 'sha256',
)

function readResources(value: unknown, name: string): Resource[] {
  if (!Array.isArray(value) || value.length === 0)
    throw refuse(name, 'predicate.resources: expected at least one file')
  const problems = (value as unknown[]).flatMap((entry, i) => {
    if (!resourceField.is(entry))
      return [`resources[${i}]: got ${describeValue(entry)}, expected ${resourceField.expected}`]
    return findPathProblem(entry.name) ?? []
  })
  if (problems.length > 0) throw refuse(name, joinProblems(problems))
  const resources = value as Resource[]
  resources.forEach((entry, i) => {
    if (i > 0 && compareByCodePoint(resources[i - 1]!.name, entry.name) >= 0)
      throw refuse(name, 'predicate.resources: its names are not sorted, or one appears twice')
  })
  return resources.map(({ name: path, digest, algorithm }) => ({ name: path, digest, algorithm }))
}

function readSerialization(value: unknown, name: string): Serialization {
  if (!isRecord(value)) throw refuse(name, 'predicate.serialization is missing')
  const { method, hash_type: hashType, allow_symlinks: links, ignore_paths: ignored = [] } = value
  if (method !== 'files' || hashType !== 'sha256')
    throw new UnsupportedError(
      `${name}: its files are hashed by ${describeValue(method)} and ${describeValue(hashType)}; this reads "files" and "sha256".`,
    )
  if (links !== false)
    throw new UnsupportedError(
      `${name}: was signed with symbolic links followed, which could show other files than those that are loaded.`,
    )
  if (!Array.isArray(ignored) || !ignored.every((entry) => typeof entry === 'string'))
    throw refuse(name, 'serialization.ignore_paths: expected a list of paths')
  return { method, hashType, allowSymlinks: links, ignorePaths: ignored as string[] }
}

const refuse = (name: string, reason: string): FormatError =>
  new FormatError(`${name}: is not a signature of files (OMS 1.0): ${reason}.`)

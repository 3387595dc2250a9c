// The files of a model or an expert as OpenSSF Model Signing (OMS 1.0, sections 5.2 and 6) lists
// them, and the one hash over all of them.

import { FormatError } from '../../base/errors.ts'
import { computeSha256, toHex } from '../../base/sha256.ts'
import { joinProblems, quoteName } from '../../formats/quote.ts'

/** One regular file of a folder, by its path from there, with / between its parts. */
export interface ListedFile {
  readonly path: string
  readonly sizeBytes: number
  /** SHA-256 of its bytes, in hexadecimal. */
  hash(): Promise<string>
}

/** A file or a piece of one, and its hash. */
export interface Resource {
  readonly name: string
  readonly digest: string
  readonly algorithm: string
}

/** In an expert's folder; it covers the other files and cannot cover itself. */
export const signatureFile = 'expert.sig'

/** At the top of a folder these never belong to what is signed (section 6.2). */
export const defaultIgnoredPaths: readonly string[] = [
  '.git',
  '.gitignore',
  '.gitattributes',
  '.github',
]

/** By Unicode code point, as UTF-8 orders them too; `<` would go by UTF-16 units. */
export function compareByCodePoint(a: string, b: string): number {
  const left = [...a]
  const right = [...b]
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const difference = left[i]!.codePointAt(0)! - right[i]!.codePointAt(0)!
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

/** Whether a path is one of these or is under one. */
export const isIgnoredPath = (path: string, ignored: readonly string[]): boolean =>
  ignored.some((entry) => path === entry || path.startsWith(`${entry}/`))

/**
 * Hashes files. `ignored`: paths that are left out besides the usual ones, such as the signature's.
 * Throws FormatError for a path that could not be signed, and where no file is left.
 */
export async function listResources(
  files: readonly ListedFile[],
  ignored: readonly string[] = [],
): Promise<Resource[]> {
  const left = [...defaultIgnoredPaths, ...ignored]
  const listed = files.filter(({ path }) => !isIgnoredPath(path, left))
  const problems = listed.flatMap(({ path }) => findPathProblem(path) ?? [])
  if (problems.length > 0)
    throw new FormatError(`These files cannot be signed:\n${joinProblems(problems)}`)
  if (listed.length === 0) throw new FormatError('There is no file to hash or to sign.')
  const resources: Resource[] = []
  for (const file of listed.toSorted((a, b) => compareByCodePoint(a.path, b.path)))
    resources.push({ name: file.path, digest: await file.hash(), algorithm: 'sha256' })
  return resources
}

/** Why a path is no canonical relative one (section 6.1.2); undefined if it is. */
export function findPathProblem(path: string): string | undefined {
  const parts = path.split('/')
  const refuse = (reason: string): string => `${quoteName(path)}: ${reason}`
  if (!path.isWellFormed()) return refuse('is not valid Unicode')
  if (path.startsWith('/') || /^[a-z]:/i.test(path)) return refuse('is absolute')
  if (parts.includes('..')) return refuse('leaves the folder with ".."')
  if (parts.includes('') || parts.includes('.')) return refuse('has an empty part or "."')
  if (path.includes('\\') || path.includes('\0')) return refuse('contains "\\" or a NUL')
  return undefined
}

/**
 * The root digest: SHA-256 over the raw digests of the resources in their order (section 5.3). It
 * is the content hash of an expert and of a base, in manifests, registry, caches and signatures.
 */
export async function computeRootDigest(resources: readonly Resource[]): Promise<string> {
  const digests = resources.map(({ digest }) => Uint8Array.from(digest.match(/../g)!, parseByte))
  const bytes = new Uint8Array(digests.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const digest of digests) {
    bytes.set(digest, at)
    at += digest.length
  }
  return toHex(await computeSha256(bytes))
}

const parseByte = (digits: string): number => Number.parseInt(digits, 16)

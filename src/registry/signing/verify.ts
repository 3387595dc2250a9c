// Whether files are exactly those that a key signed: none changed, missing or added.

import { SignatureError } from '../../base/errors.ts'
import { joinProblems, quoteName } from '../../formats/quote.ts'
import type { SignatureBundle } from './bundle.ts'
import type { VerifyingKey } from './ecdsa.ts'
import { isIgnoredPath, listResources, type ListedFile } from './resources.ts'

export interface VerifyOptions {
  /** The signature's own path in the folder, which it cannot cover. */
  readonly signaturePath?: string | undefined
}

/**
 * Checks the signature, then every file. Throws SignatureError with everything that differs. A path
 * that the signer left out, besides git's own files and the signature, is refused where the folder
 * has it: it would be a file that nobody signed.
 */
export async function verifyFiles(
  bundle: SignatureBundle,
  keys: readonly VerifyingKey[],
  files: readonly ListedFile[],
  { signaturePath }: VerifyOptions = {},
): Promise<void> {
  await verifySigner(bundle, keys)
  const own = signaturePath === undefined ? [] : [signaturePath]
  const { ignorePaths } = bundle.serialization
  const found = await listResources(files, own)
  const signed = new Map(bundle.resources.map(({ name, digest }) => [name, digest]))
  const problems = found.flatMap(({ name, digest }) => {
    const expected = signed.get(name)
    signed.delete(name)
    if (expected === digest) return []
    if (expected !== undefined)
      return [`${quoteName(name)}: has sha256 ${digest}, ${expected} was signed`]
    const isLeftOut = isIgnoredPath(name, ignorePaths)
    return [`${quoteName(name)}: was not signed${isLeftOut ? ' (the signer left it out)' : ''}`]
  })
  for (const name of signed.keys()) problems.push(`${quoteName(name)}: was signed, and is missing`)
  if (problems.length > 0)
    throw new SignatureError(`The files are not those that were signed:\n${joinProblems(problems)}`)
}

/** The key that signed it. Throws SignatureError if it is none of these. */
export async function verifySigner(
  { hint, signature, signedBytes }: SignatureBundle,
  keys: readonly VerifyingKey[],
): Promise<VerifyingKey> {
  for (const key of keys) if (await key.verify(signature, signedBytes)) return key
  const known = keys.map((key) => key.hint.slice(0, 16)).join(', ') || 'none'
  throw new SignatureError(
    `The signature is not by a trusted key: it names key ${hint?.slice(0, 16) ?? 'unknown'}…, trusted are ${known}. Get the signer's public key from a place that you trust.`,
  )
}

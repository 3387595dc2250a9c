// ECDSA over P-256, P-384 and P-521 by Web Crypto: keys in PEM, signatures in DER as files hold them.

import { OptionError } from '../../base/errors.ts'
import { computeSha256, toHex } from '../../base/sha256.ts'

/** A key of Web Crypto. */
type PlatformKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>

interface Curve {
  readonly name: string
  readonly hash: string
  /** Bytes of r and of s. */
  readonly size: number
  /** The object identifier in DER, with tag and length. */
  readonly oid: string
}

/** RFC 5480, 2.1.1.1; the hashes are those of Sigstore's algorithm registry. */
const curves: readonly Curve[] = [
  { name: 'P-256', hash: 'SHA-256', size: 32, oid: '06082a8648ce3d030107' },
  { name: 'P-384', hash: 'SHA-384', size: 48, oid: '06052b81040022' },
  { name: 'P-521', hash: 'SHA-512', size: 66, oid: '06052b81040023' },
]

export interface VerifyingKey {
  /** SHA-256 of the PEM file, in hexadecimal: how a bundle names its key. */
  readonly hint: string
  /** Whether a signature in DER is this key's of these bytes. */
  verify(signature: Uint8Array, bytes: Uint8Array): Promise<boolean>
}

export interface SigningKey {
  /** The public key, as SubjectPublicKeyInfo in PEM. */
  readonly publicPem: string
  /** A signature in DER. */
  sign(bytes: Uint8Array): Promise<Uint8Array>
}

/** A new pair on P-256, in PEM: PKCS #8 and SubjectPublicKeyInfo. */
export async function createKeyPair(): Promise<{
  readonly privatePem: string
  readonly publicPem: string
}> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }
  const pair = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const { privateKey, publicKey } = pair as Record<'privateKey' | 'publicKey', PlatformKey>
  const exportAs = async (format: 'pkcs8' | 'spki', key: PlatformKey): Promise<Uint8Array> =>
    new Uint8Array(await crypto.subtle.exportKey(format, key))
  return {
    privatePem: encodePem('PRIVATE KEY', await exportAs('pkcs8', privateKey)),
    publicPem: encodePem('PUBLIC KEY', await exportAs('spki', publicKey)),
  }
}

/** A public key in PEM. Throws OptionError for anything else. */
export async function readVerifyingKey(pem: string, name = 'public key'): Promise<VerifyingKey> {
  const der = decodePem(pem, 'PUBLIC KEY', name)
  const curve = findCurve(der, name)
  const key = await openKey('spki', der, curve, 'verify', name)
  // Other tools hash the file as they write it: with one line break at its end.
  const hint = toHex(await computeSha256(new TextEncoder().encode(`${pem.trim()}\n`)))
  const { hash } = curve
  return {
    hint,
    async verify(signature, bytes) {
      const raw = decodeSignature(signature, curve.size)
      if (!raw) return false
      return crypto.subtle.verify({ name: 'ECDSA', hash }, key, raw, toBuffer(bytes))
    },
  }
}

/** A private key as PKCS #8 in PEM ("BEGIN PRIVATE KEY"). Throws OptionError for anything else. */
export async function readSigningKey(pem: string, name = 'private key'): Promise<SigningKey> {
  if (pem.includes('EC PRIVATE KEY'))
    throw new OptionError(
      `${name}: got an "EC PRIVATE KEY" (SEC 1), expected a "PRIVATE KEY" (PKCS #8). Convert it: openssl pkcs8 -topk8 -nocrypt -in key.pem`,
    )
  const der = decodePem(pem, 'PRIVATE KEY', name)
  const curve = findCurve(der, name)
  const key = await openKey('pkcs8', der, curve, 'sign', name)
  const { d: _private, key_ops: _, ...jwk } = await crypto.subtle.exportKey('jwk', key)
  const algorithm = { name: 'ECDSA', namedCurve: curve.name }
  const open = await crypto.subtle.importKey('jwk', jwk, algorithm, true, ['verify'])
  const spki = await crypto.subtle.exportKey('spki', open)
  const { hash } = curve
  return {
    publicPem: encodePem('PUBLIC KEY', new Uint8Array(spki)),
    async sign(bytes) {
      const raw = await crypto.subtle.sign({ name: 'ECDSA', hash }, key, toBuffer(bytes))
      return encodeSignature(new Uint8Array(raw))
    },
  }
}

async function openKey(
  format: 'spki' | 'pkcs8',
  der: Uint8Array,
  curve: Curve,
  usage: 'sign' | 'verify',
  name: string,
): Promise<PlatformKey> {
  try {
    const algorithm = { name: 'ECDSA', namedCurve: curve.name }
    return await crypto.subtle.importKey(format, toBuffer(der), algorithm, true, [usage])
  } catch (cause) {
    throw new OptionError(`${name}: is not a valid key on ${curve.name}.`, { cause })
  }
}

const toBuffer = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => bytes as Uint8Array<ArrayBuffer>

function findCurve(der: Uint8Array, name: string): Curve {
  const hex = toHex(der)
  const curve = curves.find(({ oid }) => hex.includes(oid))
  if (!curve)
    throw new OptionError(
      `${name}: expected an elliptic-curve key on ${curves.map((known) => known.name).join(', ')}.`,
    )
  return curve
}

const LINE = 64

function encodePem(label: string, der: Uint8Array): string {
  const lines = encodeBase64(der).match(new RegExp(`.{1,${LINE}}`, 'g')) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

function decodePem(pem: string, label: string, name: string): Uint8Array {
  const found = new RegExp(`-----BEGIN ${label}-----([^-]*)-----END ${label}-----`).exec(pem)
  const der = found && decodeBase64(found[1]!.replace(/\s/g, ''))
  if (!der) throw new OptionError(`${name}: expected a PEM file with a "${label}".`)
  return der
}

export function encodeBase64(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return btoa(text)
}

/** Undefined for what is not base64. */
export function decodeBase64(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0))
  } catch {
    return undefined
  }
}

const SEQUENCE = 0x30
const INTEGER = 0x02

/** r ‖ s as Web Crypto writes it → SEQUENCE of two INTEGERs (RFC 3279, 2.2.3). */
export function encodeSignature(raw: Uint8Array): Uint8Array {
  const half = raw.length / 2
  const body = [raw.subarray(0, half), raw.subarray(half)].flatMap((number) => {
    const start = number.findIndex((byte) => byte !== 0)
    const digits = start < 0 ? [0] : [...number.subarray(start)]
    const signed = digits[0]! >= 0x80 ? [0, ...digits] : digits
    return [INTEGER, signed.length, ...signed]
  })
  return Uint8Array.from([SEQUENCE, ...encodeLength(body.length), ...body])
}

const encodeLength = (length: number): number[] => (length < 0x80 ? [length] : [0x81, length])

/** The same back; undefined for what is no such signature. */
export function decodeSignature(
  der: Uint8Array,
  size: number,
): Uint8Array<ArrayBuffer> | undefined {
  const isLong = der[1] === 0x81
  const start = isLong ? 3 : 2
  if (der[0] !== SEQUENCE || der[isLong ? 2 : 1] !== der.length - start) return undefined
  const raw = new Uint8Array(2 * size)
  let at = start
  for (const end of [size, 2 * size]) {
    const length = der[at + 1]
    if (der[at] !== INTEGER || length === undefined || at + 2 + length > der.length)
      return undefined
    let digits = der.subarray(at + 2, at + 2 + length)
    while (digits.length > 1 && digits[0] === 0) digits = digits.subarray(1)
    if (digits.length === 0 || digits.length > size) return undefined
    raw.set(digits, end - digits.length)
    at += 2 + length
  }
  return at === der.length ? raw : undefined
}

// SHA-256 by the platform's Web Crypto, which computes outside the JavaScript thread.

import { UnsupportedError } from './errors.ts'

/**
 * The hash of these bytes, 32 bytes. Throws UnsupportedError in a page that is not from https or
 * this machine: browsers keep Web Crypto from it.
 */
export async function computeSha256(bytes: Uint8Array): Promise<Uint8Array> {
  if (typeof crypto === 'undefined' || crypto.subtle === undefined)
    throw new UnsupportedError(
      'Hashes need Web Crypto, which a page gets only over https or from this machine.',
    )
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>))
}

export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

export const hasSameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i])

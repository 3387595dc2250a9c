// Checks the size and the digest of a stream of bytes.

import { createHash } from 'node:crypto'
import { SignatureError } from '../../../base/errors.ts'

export interface ExpectedBytes {
  /** SHA-256 in hexadecimal. */
  readonly hash: string
  readonly sizeBytes: number
}

/**
 * Passes the bytes on; throws SignatureError as soon as there are too many, and at the end if there
 * are too few or the digest differs.
 */
export async function* checkBytes(
  chunks: AsyncIterable<Uint8Array>,
  { hash: expected, sizeBytes }: ExpectedBytes,
  name: string,
): AsyncGenerator<Uint8Array, void> {
  const hash = createHash('sha256')
  let passed = 0
  for await (const chunk of chunks) {
    passed += chunk.length
    if (passed > sizeBytes) break
    hash.update(chunk)
    yield chunk
  }
  const got = hash.digest('hex')
  if (passed === sizeBytes && got === expected) return
  const problem =
    passed === sizeBytes
      ? `has sha256 ${got}, expected ${expected}`
      : `has ${passed > sizeBytes ? 'more than' : `${passed} of`} ${sizeBytes} bytes`
  throw new SignatureError(`${name}: ${problem}: it is not what was published. Nothing is kept.`)
}

/** All of them in one array. */
export async function collectBytes(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const list: Uint8Array[] = []
  for await (const chunk of chunks) list.push(chunk)
  return new Uint8Array(Buffer.concat(list))
}

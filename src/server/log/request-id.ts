// The id of a request: the caller's if it is plain, else a new one.

import { toHex } from '../../base/sha256.ts'

/** Letters, digits and a few signs that no log, header or shell interprets. */
const plainId = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/

/** `random`: 16 bytes. */
export const readRequestId = (given: string | undefined, random: () => Uint8Array): string =>
  given !== undefined && plainId.test(given) ? given : `req_${toHex(random())}`

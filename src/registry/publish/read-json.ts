// Reads untrusted JSON: UTF-8, limited depth, no duplicate keys.

import { FormatError } from '../../base/errors.ts'
import { findJsonProblem } from '../../formats/json-problem.ts'

const deepest = 32

/** Throws FormatError. */
export function readJson(bytes: Uint8Array, name: string): unknown {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    const problem = findJsonProblem(text, deepest)
    if (problem !== undefined) throw new FormatError(`${name}: ${problem}.`)
    return JSON.parse(text)
  } catch (cause) {
    if (cause instanceof FormatError) throw cause
    throw new FormatError(`${name}: is not JSON in UTF-8.`, { cause })
  }
}

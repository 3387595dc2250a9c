// The modules that adapters store whole in addition to their low-rank matrices, as rows of numbers
// by PEFT key: modules that were trained or saved whole, and single rows of the embedding. Reads no
// base.

import type { Adapter } from '../../adapters/adapter.ts'
import { getSavedPath, toInputName } from '../../adapters/keys.ts'
import { findTokens, isSavedWhole } from '../../adapters/saved-modules.ts'
import { tokenRowsName } from '../../adapters/trainable-tokens.ts'
import { type Tensor, viewBytes } from '../../base/tensor.ts'

/** One tensor that an adapter stores whole. */
export interface SavedPart {
  readonly key: string
  /** The module whose weight, bias or rows it is. */
  readonly path: string
  readonly tensor: Tensor
  /** The tokens of its rows, if it has single rows of an embedding. */
  readonly tokens?: readonly number[]
}

const weightOrBias = /\.(weight|bias)$/
const rowsEnding = `.${tokenRowsName}`

/** Every tensor that the adapter stores whole according to its configuration. */
export function listSavedParts({ config, tensors }: Adapter): SavedPart[] {
  const { embeddings = [], trainableTokens: tokens } = config
  const isSaved = (path: string): boolean => embeddings.includes(path) || isSavedWhole(config, path)
  return [...tensors].flatMap(([key, tensor]): SavedPart[] => {
    if (key.endsWith(rowsEnding)) {
      const rowsPath = toInputName(key).slice(0, -rowsEnding.length)
      const own = findTokens(tokens, rowsPath)
      return own ? [{ key, path: rowsPath, tensor, tokens: own }] : []
    }
    const path = getSavedPath(key)
    return weightOrBias.test(key) && isSaved(path) ? [{ key, path, tensor }] : []
  })
}

/** Whether two parts are the same numbers of the same rows. */
export function arePartsEqual(one: SavedPart, other: SavedPart): boolean {
  const a = one.tensor
  const b = other.tensor
  const left = viewBytes(a)
  const right = viewBytes(b)
  return (
    one.key === other.key &&
    String(one.tokens) === String(other.tokens) &&
    a.dtype === b.dtype &&
    String(a.shape) === String(b.shape) &&
    left.length === right.length &&
    left.every((value, i) => value === right[i])
  )
}

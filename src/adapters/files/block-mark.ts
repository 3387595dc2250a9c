// Adapters in 8 and 4 bits are marked in their peft_type, so that PEFT, which cannot read them,
// refuses them.

import type { BlockCodeName } from '../../formats/block-code.ts'
import type { PeftJson } from '../kinds/kind.ts'

/**
 * Prefix of peft_type where the tensors are in blocks: PEFT refuses 'GRAFT_INT4_LORA', because it
 * has no such type.
 */
export const getBlockMark = (dtype: BlockCodeName): string => `GRAFT_${dtype.toUpperCase()}_`

/** The configuration as PEFT would have it, and the block type of the tensors. */
export function splitBlockMark(json: PeftJson): {
  readonly json: PeftJson
  readonly blocks?: BlockCodeName
} {
  const { peft_type: marked } = json
  const blocks = (['int8', 'int4'] as const).find(
    (dtype) => typeof marked === 'string' && marked.startsWith(getBlockMark(dtype)),
  )
  return blocks
    ? { json: { ...json, peft_type: String(marked).slice(getBlockMark(blocks).length) }, blocks }
    : { json }
}

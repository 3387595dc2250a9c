// Finds a common cause for all differences between an adapter's tensors and those that its
// configuration implies for a model: another vocabulary, another rank, more layers.

import type { Tensor } from '../base/tensor.ts'
import type { ModelGraph } from '../graph/model-graph.ts'

interface Explained {
  readonly baseModel?: string
  readonly tensors: ReadonlyMap<string, Tensor>
}

type Shapes = ReadonlyMap<string, { readonly shape: readonly number[] }>

/** One sentence with the cause and what to do; a question if no cause explains everything. */
export function describeMismatchCause(
  { baseModel, tensors }: Explained,
  model: ModelGraph,
  expected: Shapes,
): string {
  const sizes = listWrongSizes(tensors, expected)
  const missing = [...expected.keys()].filter((key) => !tensors.has(key))
  const extra = [...tensors.keys()].filter((key) => !expected.has(key))
  const named = baseModel
    ? `Its config names the base "${baseModel}".`
    : 'Its config names no base.'
  const [only] = sizes
  const { vocabularySize, layers } = model.config
  if (only && sizes.length === 1 && missing.length + extra.length === 0) {
    if (only.expected === vocabularySize)
      return (
        `It was made on a base with a vocabulary of ${only.got} tokens, and this one has ${vocabularySize}. ${named} ` +
        `Give that base, or give this one the tokens in Python: model.resize_token_embeddings(${only.got}), then save it.`
      )
    if (only.isRank)
      return `Its config has rank ${only.expected}, and its tensors have rank ${only.got}; they belong to different adapters.`
  }
  const highest = Math.max(-1, ...extra.map(findLayer))
  const areBeyond = extra.every((key) => findLayer(key) >= layers.length)
  if (highest >= 0 && areBeyond && sizes.length + missing.length === 0)
    return `It has tensors for ${highest + 1} layers, and this base has ${layers.length}. ${named} Give the base that it was trained on.`
  return `Was it trained on another base? ${baseModel ? `Its config has "${baseModel}".` : 'Its config names none.'}`
}

const findLayer = (key: string): number => Number(/\.layers\.(\d+)\./.exec(key)?.[1] ?? -1)

interface WrongSize {
  readonly got: number
  readonly expected: number
  /** Whether it is the common dimension of a pair of matrices. */
  readonly isRank: boolean
}

/** Each pair of sizes that differ, once. */
function listWrongSizes(tensors: Explained['tensors'], expected: Shapes): WrongSize[] {
  const found = new Map<string, WrongSize>()
  for (const [key, { shape }] of expected) {
    const got = tensors.get(key)?.shape
    if (!got) continue
    if (got.length !== shape.length) found.set(key, { got: 0, expected: 0, isRank: false })
    else
      for (const [i, size] of shape.entries())
        if (got[i] !== size) {
          const rankAt = /lora_(embedding_)?A/.test(key)
            ? 0
            : /lora_(embedding_)?B/.test(key)
              ? 1
              : -1
          const wrong = { got: got[i]!, expected: size, isRank: i === rankAt }
          found.set(JSON.stringify(wrong), wrong)
        }
  }
  return [...found.values()]
}

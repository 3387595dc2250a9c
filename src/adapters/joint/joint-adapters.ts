// Joint adapters, in which several kinds act together: joined from adapters of one kind each, and
// split again. Independent of files.

import { MismatchError, OptionError } from '../../base/errors.ts'
import type { Tensor } from '../../base/tensor.ts'
import type { Adapter } from '../adapter.ts'
import { getSavedPath } from '../keys.ts'
import { isJointConfig, joinConfigs, type JointPart } from '../kinds/joint/joint-config.ts'
import { getKind, toKindName } from '../kinds/kind-table.ts'
import { tokenRowsName } from '../trainable-tokens.ts'

/**
 * Joins adapters that act on each other's output into one expert: IA3 with a soft prompt, LoRA with
 * IA3. Tensors are not copied. Throws UnsupportedError for kinds that cannot act together,
 * MismatchError for adapters of different bases, OptionError for settings that exclude each other.
 */
export function joinAdapters(adapters: readonly Adapter[]): Adapter {
  const parts = adapters.flatMap((adapter) => splitAdapter(adapter))
  const row = getKind(toKindName(parts.map(({ kind }) => kind)))
  const ordered = row.name.split('+').map((kind) => parts.find((part) => part.kind === kind)!)
  checkOneBase(ordered)
  const tensors = new Map<string, Tensor>()
  for (const { kind, tensors: own } of ordered)
    for (const [key, tensor] of own) {
      if (tensors.has(key))
        throw new OptionError(
          `joinAdapters: ${key} is a tensor of two adapters, the second of them of kind ${kind}. Train it in one of them.`,
        )
      tensors.set(key, tensor)
    }
  const config = joinConfigs(ordered.map(({ kind, config: own }) => ({ kind, config: own })))
  const { baseModel } = ordered.find((part) => part.baseModel !== undefined) ?? {}
  const { text } = ordered.find((part) => part.text) ?? {}
  const metadata = Object.assign({}, ...ordered.map((part) => part.metadata)) as Record<
    string,
    string
  >
  return {
    kind: row.name,
    config,
    tensors,
    ...(baseModel !== undefined && { baseModel }),
    ...(Object.keys(metadata).length > 0 && { metadata }),
    ...(text && { text }),
  }
}

function checkOneBase(adapters: readonly Adapter[]): void {
  const [first, ...others] = adapters.filter(({ baseModel }) => baseModel !== undefined)
  const mismatches = others
    .filter(({ baseModel }) => baseModel !== first!.baseModel)
    .map(({ kind, baseModel }) => ({ name: kind, got: baseModel!, expected: first!.baseModel! }))
  if (mismatches.length > 0)
    throw new MismatchError(
      'The adapters are of different bases',
      mismatches,
      'Join adapters of one.',
    )
}

/**
 * An adapter of each kind, in the order in which they act; the adapter itself if it has only one
 * kind.
 */
export function splitAdapter(adapter: Adapter): readonly Adapter[] {
  const { config, tensors, kind: _kind, ...shared } = adapter
  if (!isJointConfig(config)) return [adapter]
  const { parts } = config
  const own = parts.map(() => new Map<string, Tensor>())
  for (const [key, tensor] of tensors) own[parts.indexOf(findPartOf(key, parts))]!.set(key, tensor)
  return parts.map((part, i) => Object.assign({}, shared, part, { tensors: own[i]! }))
}

/** The part that a tensor belongs to. */
export function findPartOf(key: string, parts: readonly JointPart[]): JointPart {
  const marked = parts.find(({ kind }) => key.includes(getKind(kind).mark))
  if (marked) return marked
  const isToken = key.endsWith(tokenRowsName)
  const path = getSavedPath(key)
  const saved = parts.find(({ config: { modulesToSave = [], trainableTokens } }) =>
    isToken ? trainableTokens : modulesToSave.some((end) => path.endsWith(end)),
  )
  return saved ?? parts[0]! // biases and copies of the base belong to the first kind
}

/**
 * The adapter without its virtual tokens: the parts that act on later tokens. Undefined if there
 * are none; the adapter itself if it has no virtual tokens.
 */
export function withoutVirtualParts(adapter: Adapter): Adapter | undefined {
  const parts = splitAdapter(adapter)
  const acting = parts.filter(({ kind }) => getKind(kind).effect !== 'precedes')
  if (acting.length === parts.length) return adapter
  return acting.length > 1 ? joinAdapters(acting) : acting[0]
}

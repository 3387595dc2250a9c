// Tensors that are in a file twice because the head shares the embedding's weight: PEFT writes them
// under both names (ensure_weight_tying, and TRAINABLE_TOKENS). In memory an adapter has them once.

import { FormatError } from '../../base/errors.ts'
import type { Tensor } from '../../base/tensor.ts'
import type { Adapter } from '../adapter.ts'
import { isSameWeight } from '../base-copy.ts'
import { headPath, toFileKey, toPeftKey } from '../keys.ts'
import type { AdapterConfig, PeftJson } from '../kinds/kind.ts'
import { findTokens, replaceTiedHead } from '../saved-modules.ts'
import { tokenRowsName } from '../trainable-tokens.ts'

/** Suffixes of the embedding's keys and of the head's; a head's matrix may be transposed. */
const endings: readonly (readonly [own: string, head: string, turned: boolean])[] = [
  ['.weight', '.weight', false],
  ['.lora_embedding_A', '.lora_B.weight', true],
  ['.lora_embedding_B', '.lora_A.weight', true],
  [`.${tokenRowsName}`, `.${tokenRowsName}`, false],
]

const tyingKey = 'ensure_weight_tying'

const embeddingPath = /(^|\.)embed_tokens$/

interface Copy {
  readonly own: string
  readonly head: string
  readonly turned: boolean
}

/** The tensors that occur twice in a file with a tied head. */
const listCopies = (keys: Iterable<string>): Copy[] =>
  [...keys].flatMap((own) =>
    endings.flatMap(([ending, head, turned]) =>
      own.endsWith(ending) && embeddingPath.test(own.slice(0, -ending.length))
        ? [{ own, head: toPeftKey(headPath + head), turned }]
        : [],
    ),
  )

/** [rows, columns] → [columns, rows] */
function transposeTensor({ dtype, shape, data }: Tensor): Tensor {
  const [rows, columns] = shape as [number, number]
  const turned = data.slice()
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      turned[column * rows + row] = data[row * columns + column]!
  return { dtype, shape: [columns, rows], data: turned }
}

const toHeadTensor = (own: Tensor, { turned }: Copy): Tensor =>
  turned ? transposeTensor(own) : own

const isTiedFile = (kind: string, { peft, trainableTokens }: AdapterConfig): boolean =>
  kind === 'trainable-tokens'
    ? findTokens(trainableTokens, headPath) === undefined
    : peft?.[tyingKey] === true

/**
 * The adapter with its embedding's tensors once, and a configuration that records it. Throws
 * FormatError if a head's copy differs: it would be undefined which one applies.
 */
export function dropTiedCopies<Of extends Pick<Adapter, 'kind' | 'config' | 'tensors'>>(
  adapter: Of,
  fileName: string,
): Of {
  const { kind, config, tensors } = adapter
  if (!isTiedFile(kind, config)) return adapter
  const copies = listCopies(tensors.keys()).filter(({ head }) => tensors.has(head))
  if (copies.length === 0) return adapter
  for (const copy of copies)
    if (!isSameWeight(toHeadTensor(tensors.get(copy.own)!, copy), tensors.get(copy.head)!))
      throw new FormatError(
        `${fileName}: ${toFileKey(kind, copy.head)} differs from ${toFileKey(kind, copy.own)}, and the configuration ties both. ` +
          'Save the adapter again with PEFT, or without ensure_weight_tying.',
      )
  const dropped = new Set(copies.map(({ head }) => head))
  const own = new Map(copies.map((copy) => [copy.own, selectFiner(tensors, copy)]))
  return {
    ...adapter,
    config: markTied(config),
    tensors: new Map(
      [...tensors].flatMap(([key, tensor]) =>
        dropped.has(key) ? [] : [[key, own.get(key) ?? tensor] as const],
      ),
    ),
  }
}

/** Of two copies that differ only by rounding, the one that was not rounded. */
function selectFiner(tensors: ReadonlyMap<string, Tensor>, copy: Copy): Tensor {
  const own = tensors.get(copy.own)!
  const head = tensors.get(copy.head)!
  if (own.data.byteLength >= head.data.byteLength) return own
  return copy.turned ? transposeTensor(head) : head
}

/** The configuration of an adapter that ties embedding and head. */
function markTied(config: AdapterConfig): AdapterConfig {
  const { modulesToSave } = config
  return {
    ...config,
    ...(modulesToSave && { modulesToSave: replaceTiedHead(modulesToSave) }),
    ensureWeightTying: true,
  }
}

/**
 * The configuration of a file in 8 or 4 bits. Such a file has no copies, because a transposed copy
 * would be rounded differently; only its key shows that the head is tied.
 */
export const readBlockTying = (config: AdapterConfig, json: PeftJson): AdapterConfig =>
  json[tyingKey] === true ? markTied(config) : config

/** That key, if such a file needs it. */
export const writeBlockTying = (config: AdapterConfig, json: PeftJson): PeftJson =>
  config.ensureWeightTying || json[tyingKey] === true
    ? { [tyingKey]: config.ensureWeightTying === true }
    : {}

/** The adapter with the head's copies of the embedding's tensors, as PEFT writes them. */
export function addTiedCopies<Of extends Pick<Adapter, 'config' | 'tensors'>>(adapter: Of): Of {
  const { config, tensors } = adapter
  if (!config.ensureWeightTying) return adapter
  const copies = listCopies(tensors.keys()).map((copy): [string, Tensor] => [
    copy.head,
    toHeadTensor(tensors.get(copy.own)!, copy),
  ])
  return { ...adapter, tensors: new Map([...tensors, ...copies]) }
}

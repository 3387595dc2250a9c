// Converts keys of adapter files from other tools to PEFT's: keys with the prefixes of
// torch.compile and distributed wrappers, without PEFT's prefix, with the adapter's name, or with
// DoRA's key in memory.

import { FormatError } from '../../base/errors.ts'
import { withoutWrapperNames } from '../../formats/safetensors/wrapper-names.ts'
import { fromFileKey, getSavedPath, toFileKey, toPeftKey } from '../keys.ts'
import type { SavedChoice } from '../saved-modules.ts'

/** PEFT's tensors that are in a dictionary by adapter name in memory. */
const named = [
  ...['lora_A', 'lora_B', 'lora_embedding_A', 'lora_embedding_B', 'lora_magnitude_vector'],
  ...['ia3_l', 'lokr_w1', 'lokr_w1_a', 'lokr_w1_b', 'lokr_w2', 'lokr_w2_a', 'lokr_w2_b', 'lokr_t2'],
  ...['hada_w1_a', 'hada_w1_b', 'hada_w2_a', 'hada_w2_b', 'vera_lambda_b', 'vera_lambda_d'],
  ...['trainable_tokens_delta', 'modules_to_save'],
]

const nameAfterPart = new RegExp(`\\.(${named.join('|')})\\.([^.]+)(\\.weight|\\.bias)?$`)

/** A key without the adapter's name, and that name. */
function splitAdapterName(key: string): { key: string; name?: string } {
  const [whole, part, name, ending = ''] = nameAfterPart.exec(key) ?? []
  const isOwnEnding = ending === '' && (name === 'weight' || name === 'bias')
  if (whole === undefined || isOwnEnding) return { key }
  const head = key.slice(0, -whole.length)
  return { key: `${head}${part === 'modules_to_save' ? '' : `.${part}`}${ending}`, name: name! }
}

const magnitudeInMemory = /\.lora_magnitude_vector\.weight$/

/** The frozen copy of the base next to a module that is trained whole; it is never read. */
const isOriginal = (key: string): boolean => key.includes('.original_module.')

/**
 * The tensors by PEFT's keys. Throws FormatError if two keys become one, and if a file contains
 * adapters of several names.
 */
export function toPeftKeys<Value>(
  tensors: ReadonlyMap<string, Value>,
  fileName: string,
): Map<string, Value> {
  const found = new Map<string, Value>()
  const names = new Set<string>()
  for (const [given, tensor] of tensors) {
    if (isOriginal(given)) continue
    const { key: bare, name } = splitAdapterName(withoutWrapperNames(given))
    if (name !== undefined) names.add(name)
    const key = toPeftKey(bare)
      .replace(magnitudeInMemory, '.lora_magnitude_vector')
      .replace('.token_adapter.base_layer.', '.base_layer.')
    if (names.size > 1)
      throw new FormatError(
        `${fileName}: contains several adapters (${[...names].join(', ')}), expected one. Save each in its own folder.`,
      )
    if (found.has(key))
      throw new FormatError(
        `${fileName}: two of its tensors are ${key}; one of them is "${given}".`,
      )
    found.set(key, tensor)
  }
  return found
}

const wholeEmbedding = /(^|\.)(embed_tokens|lm_head)\.weight$/

/**
 * Paths of the embedding and the head whose weights are in a file although no setting lists them.
 */
export const listSavedEmbeddings = (
  keys: Iterable<string>,
  { modulesToSave = [] }: SavedChoice,
): string[] =>
  [...keys]
    .filter((key) => wholeEmbedding.test(key))
    .map(getSavedPath)
    .filter((path) => !modulesToSave.some((name) => path.endsWith(name)))

/** The tensors of a file of this kind by the keys that they have in memory. */
export const fromFileKeys = <Value>(
  kind: string,
  tensors: ReadonlyMap<string, Value>,
): ReadonlyMap<string, Value> =>
  new Map([...tensors].map(([key, value]) => [fromFileKey(kind, key), value]))

/** The tensors by the keys of a file of this kind. */
export const toFileKeys = <Value>(
  kind: string,
  tensors: ReadonlyMap<string, Value>,
): ReadonlyMap<string, Value> =>
  new Map([...tensors].map(([key, value]) => [toFileKey(kind, key), value]))

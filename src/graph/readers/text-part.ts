// The language model inside a multimodal checkpoint: its config is under the key `text_config`, and
// its tensors have other names. Vision and other parts are left in the file.

import { isRecord } from '../../base/schema.ts'
import { getEntry, type TensorStore } from '../../formats/tensor-store.ts'
import { architectures } from '../models/architecture-table.ts'
import type { JsonObject } from '../models/read-config.ts'

/** Keys that a wrapper may hold for the text as well. */
const sharedKeys = ['bos_token_id', 'eos_token_id', 'pad_token_id', 'tie_word_embeddings']

/**
 * The config of the language model in a wrapper's; undefined if there is no known one, or if the
 * config itself is of a known architecture.
 */
export function findTextConfig(config: JsonObject): JsonObject | undefined {
  const { text_config: text } = config
  if (!isRecord(text) || architectures.has(String(config.model_type))) return undefined
  if (!architectures.has(String(text.model_type))) return undefined
  const shared = sharedKeys.filter((key) => text[key] === undefined && config[key] !== undefined)
  return Object.assign({}, text, Object.fromEntries(shared.map((key) => [key, config[key]])))
}

/** The prefixes of the language model's tensors in wrappers, and the names without them. */
const textNames: readonly (readonly [wrapper: RegExp, own: string])[] = [
  [/^model\.language_model\./, 'model.'],
  [/^language_model\.model\./, 'model.'],
  [/^language_model\.lm_head\./, 'lm_head.'],
]

/** Parts that read no text; `mtp` drafts tokens ahead. */
const otherParts =
  /^(model\.)?(visual|vision_tower|vision_model|audio_tower|multi_modal_projector|embed_vision|embed_audio)\.|^mtp\./

const toOwnName = (name: string): string => {
  const [wrapper, own] = textNames.find(([start]) => start.test(name)) ?? []
  return wrapper ? name.replace(wrapper, own!) : name
}

/** The language model's tensors of a wrapper's store, by the names of the language model alone. */
export function selectTextTensors(store: TensorStore): TensorStore {
  const names = new Map(
    [...store.tensors.keys()]
      .filter((name) => !otherParts.test(name))
      .map((name) => [toOwnName(name), name]),
  )
  return {
    name: store.name,
    metadata: store.metadata,
    tensors: new Map([...names].map(([own, name]) => [own, store.tensors.get(name)!])),
    read: async (own, take) => store.read(getEntry(names, own, store.name), take),
    close: () => store.close(),
  }
}

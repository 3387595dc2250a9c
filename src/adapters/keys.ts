// Converts a tensor's name between an input of a composed graph and a key of
// adapter_model.safetensors.

const prefix = 'base_model.model.'

/** The path of the layer that computes logits. */
export const headPath = 'lm_head'

/**
 * PEFT's key of a graph input: 'lm_head.lora_A.weight' → 'base_model.model.lm_head.lora_A.weight'.
 * Tensors that belong to no module have the same name in both ('prompt_embeddings',
 * 'base_model.vera_A').
 */
export const toPeftKey = (inputName: string): string =>
  inputName.includes('.') && !inputName.startsWith('base_model.')
    ? prefix + inputName.replace(ownCopy, '')
    : inputName

/** The graph input of a PEFT key; the key itself where it has no such prefix. */
export const toInputName = (key: string): string =>
  key.startsWith(prefix) ? key.slice(prefix.length).replace(table, `$1${ownTable}`) : key

/**
 * An embedding's own copy needs a name that differs from the base's weight, because a tied head may
 * still read that weight.
 */
const table = /((?:^|\.)embed_tokens)\.weight$/
const ownTable = '.modules_to_save.weight'
const ownCopy = /\.modules_to_save(?=\.|$)/

/** The graph input for the weight or bias of a module that an adapter stores whole. */
export const toSavedInputName = (path: string, part: string): string =>
  `${path}.${part}`.replace(table, `$1${ownTable}`)

/** The module whose weight or bias a key is, for keys of modules that are saved whole. */
export const getSavedPath = (key: string): string =>
  (key.startsWith(prefix) ? key.slice(prefix.length) : key).replace(/\.[^.]*$/, '')

/**
 * Name of the feed with a layer's keep-mask in a training graph, `x`-shaped: 0 or 1/(1 − rate).
 * `module` is relative to the block.
 */
export const toDropoutName = (module: string): string => `dropout:${module}`

/**
 * A key in files of a kind: PEFT shortens the keys of token rows if the adapter has nothing else.
 */
export const toFileKey = (kind: string, key: string): string =>
  kind === 'trainable-tokens'
    ? key.replace(/\.token_adapter(\.trainable_tokens_delta)$/, '$1')
    : key

/** The key in memory of a file's key. */
export const fromFileKey = (kind: string, key: string): string =>
  kind === 'trainable-tokens'
    ? key.replace(/(?<!\.token_adapter)(\.trainable_tokens_delta)$/, '.token_adapter$1')
    : key

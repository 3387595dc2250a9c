// Converts a tensor's name between an input of a composed graph and a key of
// adapter_model.safetensors.

const prefix = 'base_model.model.'

/**
 * PEFT's key of a graph input: 'lm_head.lora_A.weight' → 'base_model.model.lm_head.lora_A.weight'.
 * Tensors of no module are called by their whole keys ('prompt_embeddings', 'base_model.vera_A') in
 * both worlds.
 */
export const toPeftKey = (inputName: string): string =>
  inputName.includes('.') && !inputName.startsWith('base_model.') ? prefix + inputName : inputName

/** The graph input of a PEFT key; the key itself where it has no such prefix. */
export const toInputName = (key: string): string =>
  key.startsWith(prefix) ? key.slice(prefix.length) : key

/**
 * Name of the feed that holds a layer's keep-mask in a training graph, `x`-shaped: 0 or 1/(1 −
 * rate). `module` is relative to the block.
 */
export const toDropoutName = (module: string): string => `dropout:${module}`

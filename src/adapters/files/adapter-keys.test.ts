import { describe, expect, it } from 'vitest'
import { toPeftKeys } from './adapter-keys.ts'

const layer = 'model.layers.0.self_attn.q_proj'
const key = `base_model.model.${layer}.lora_A.weight`
const read = (...keys: string[]): string[] => [
  ...toPeftKeys(new Map(keys.map((name, i) => [name, i])), 'file').keys(),
]

describe('keys of adapter files', () => {
  it.each([
    ['as PEFT writes it', key, key],
    ['of a compiled model', `_orig_mod.${key}`, key],
    ['of a compiled base', `base_model.model._orig_mod.${layer}.lora_A.weight`, key],
    [
      'of compiled layers',
      `base_model.model.model.layers.0._orig_mod.self_attn.q_proj.lora_A.weight`,
      key,
    ],
    ['of data parallelism', `module.${key}`, key],
    ['of FSDP', `base_model.model._fsdp_wrapped_module.${layer}.lora_A.weight`, key],
    ["without PEFT's prefix", `${layer}.lora_A.weight`, key],
    ["with the adapter's name", `base_model.model.${layer}.lora_A.default.weight`, key],
    [
      'of an embedding with the name',
      'base_model.model.model.embed_tokens.lora_embedding_A.mine',
      'base_model.model.model.embed_tokens.lora_embedding_A',
    ],
    [
      "of DoRA's length as it is in memory",
      `base_model.model.${layer}.lora_magnitude_vector.default.weight`,
      `base_model.model.${layer}.lora_magnitude_vector`,
    ],
    [
      "of DoRA's length with .weight",
      `base_model.model.${layer}.lora_magnitude_vector.weight`,
      `base_model.model.${layer}.lora_magnitude_vector`,
    ],
    [
      'of a bias on B',
      `base_model.model.${layer}.lora_B.default.bias`,
      `base_model.model.${layer}.lora_B.bias`,
    ],
    [
      'of a saved module',
      'base_model.model.lm_head.modules_to_save.default.weight',
      'base_model.model.lm_head.weight',
    ],
    [
      'of trained tokens',
      'base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta.default',
      'base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta',
    ],
    [
      'of IA3 with the name',
      `base_model.model.${layer}.ia3_l.default`,
      `base_model.model.${layer}.ia3_l`,
    ],
    ['of a soft prompt', 'prompt_embeddings', 'prompt_embeddings'],
    ["of VeRA's projection", 'base_model.vera_A', 'base_model.vera_A'],
  ])('%s', (_words, given, expected) => {
    expect(read(given)).toEqual([expected])
  })

  it('leave out the frozen copy next to a saved module', () => {
    expect(read('base_model.model.lm_head.original_module.weight', key)).toEqual([key])
  })

  it('refuse two names and two spellings of one tensor', () => {
    expect(() =>
      read(
        `base_model.model.${layer}.lora_A.a.weight`,
        `base_model.model.${layer}.lora_B.b.weight`,
      ),
    ).toThrow('file: contains several adapters (a, b), expected one.')
    expect(() => read(key, `${layer}.lora_A.weight`)).toThrow(`two of its tensors are ${key}`)
  })
})

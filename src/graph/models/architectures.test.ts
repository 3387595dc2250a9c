import { describe, expect, it } from 'vitest'
import { architectureContract, tinySizes, type TinyModel } from './architecture.contract.ts'
import { getArchitecture, architectures } from './architecture-table.ts'

const separate = { layerGraphs: 1, linears: 7 }
const gemma = { hidden_activation: 'gelu_pytorch_tanh', query_pre_attn_scalar: 6 }

/** Tiny models by architecture. An architecture without one fails below. */
const models: Readonly<Record<string, readonly TinyModel[]>> = {
  llama: [
    separate,
    {
      ...separate,
      title: 'with every bias, tied',
      config: { attention_bias: true, mlp_bias: true, tie_word_embeddings: true },
    },
    {
      ...separate,
      title: 'where half of each head turns',
      config: { head_dim: 8, partial_rotary_factor: 0.5 },
    },
  ],
  ministral: [
    { ...separate, config: { sliding_window: 3 } },
    {
      ...separate,
      title: 'of which some slide',
      layerGraphs: 2,
      config: {
        sliding_window: 3,
        layer_types: [
          ...['full_attention', 'sliding_attention'],
          ...['sliding_attention', 'full_attention'],
        ],
      },
    },
  ],
  ministral3: [{ ...separate }],
  mistral: [{ ...separate, config: { sliding_window: 3 } }],
  qwen2: [
    { ...separate, config: { tie_word_embeddings: true } },
    {
      title: 'sliding from layer 1 on',
      layerGraphs: 2,
      linears: 7,
      config: { use_sliding_window: true, sliding_window: 3, max_window_layers: 1 },
    },
  ],
  qwen3: [separate],
  qwen3_5_text: [
    {
      layerGraphs: 2,
      linears: 8,
      config: {
        head_dim: 8,
        linear_num_key_heads: 2,
        linear_num_value_heads: 4,
        linear_key_head_dim: 4,
        linear_value_head_dim: 6,
      },
    },
  ],
  gemma3_text: [
    {
      layerGraphs: 2,
      linears: 7,
      config: {
        ...gemma,
        sliding_window: 3,
        sliding_window_pattern: 2,
        final_logit_softcapping: 5,
      },
    },
    {
      ...separate,
      title: 'with biases',
      config: { ...gemma, sliding_window: 3, attention_bias: true },
    },
  ],
  phi3: [{ layerGraphs: 1, linears: 4, config: { sliding_window: 4 } }],
  granite: [
    {
      ...separate,
      config: {
        embedding_multiplier: 12,
        residual_multiplier: 0.22,
        attention_multiplier: 0.3,
        logits_scaling: 8,
      },
    },
    { ...separate, title: 'with biases', config: { attention_bias: true, mlp_bias: true } },
  ],
  granitemoehybrid: [
    {
      layerGraphs: 1,
      linears: 6,
      names: { down: 'shared_mlp.output_linear' },
      config: {
        num_local_experts: 0,
        shared_intermediate_size: 24,
        position_embedding_type: 'rope',
        layer_types: Array(4).fill('attention'),
      },
    },
  ],
  lfm2: [
    {
      layerGraphs: 2,
      linears: 5,
      names: { norm: 'model.embedding_norm', down: 'feed_forward.w2' },
      config: {
        block_auto_adjust_ff_dim: false,
        layer_types: ['conv', 'full_attention', 'conv', 'full_attention'],
      },
    },
    {
      title: 'with biases',
      layerGraphs: 2,
      linears: 7,
      names: { norm: 'model.embedding_norm', down: 'feed_forward.w2' },
      config: {
        conv_bias: true,
        conv_L_cache: 4,
        block_auto_adjust_ff_dim: false,
        full_attn_idxs: [1, 2],
      },
    },
  ],
  smollm3: [
    { layerGraphs: 2, linears: 7 },
    {
      title: 'sliding where nothing turns',
      layerGraphs: 2,
      linears: 7,
      config: { use_sliding_window: true, sliding_window: 3 },
    },
  ],
}

describe('the table of architectures', () => {
  it('has a tiny model for every row, and a row named after each', () => {
    expect(Object.keys(models).sort()).toEqual([...architectures.keys()].sort())
  })
  it('names an architecture that is not in it, and those that are', () => {
    expect(() => getArchitecture({ model_type: 'mamba' })).toThrow(
      /"mamba" is not supported; supported: llama, mistral, .*smollm3/,
    )
    expect(() => getArchitecture({})).toThrow('is missing')
    expect(() => getArchitecture({ model_type: '__proto__' })).toThrow(
      '"__proto__" is not supported',
    )
  })
  for (const [modelType, list] of Object.entries(models))
    for (const one of list) architectureContract(modelType, one)
})

describe('layers are read as transformers reads them', () => {
  const layers = (config: Readonly<Record<string, unknown>>) => {
    const json = { ...tinySizes, ...config }
    return getArchitecture(json).readConfig(json).layers
  }
  const windows = (config: Readonly<Record<string, unknown>>) =>
    layers(config).map(({ slidingWindow }) => slidingWindow)

  it('mistral slides by 4096 where the key is missing, and not at all where it is null', () => {
    expect(windows({ model_type: 'mistral' })).toEqual([4096, 4096, 4096, 4096])
    expect(windows({ model_type: 'mistral', sliding_window: null })).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ])
  })
  it('qwen uses sliding windows only if use_sliding_window says so', () => {
    expect(windows({ model_type: 'qwen3', sliding_window: 8 })).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ])
    const types = ['full_attention', 'sliding_attention', 'full_attention', 'sliding_attention']
    expect(
      windows({
        model_type: 'qwen2',
        use_sliding_window: true,
        sliding_window: 8,
        layer_types: types,
      }),
    ).toEqual([undefined, 8, undefined, 8])
    expect(() => windows({ model_type: 'qwen2', sliding_window: 8, layer_types: types })).toThrow(
      'without a "sliding_window"',
    )
    expect(() =>
      windows({ model_type: 'qwen2', layer_types: Array(4).fill('chunked_attention') }),
    ).toThrow('chunked_attention')
  })
  it('gemma slides but for every sixth layer, which turns by the main table', () => {
    const read = layers({
      model_type: 'gemma3_text',
      ...gemma,
      num_hidden_layers: 7,
      sliding_window: 5,
    })
    const local = { rope: 'local', slidingWindow: 5 }
    expect(read).toEqual([local, local, local, local, local, { rope: 'main' }, local])
  })
  it('smollm3 applies RoPE except in every fourth layer, or as the list says', () => {
    const turning = (config: object) =>
      layers({ model_type: 'smollm3', ...config }).map(({ rope }) => rope !== undefined)
    expect(turning({})).toEqual([true, true, true, false])
    expect(turning({ no_rope_layer_interval: 2 })).toEqual([true, false, true, false])
    expect(turning({ no_rope_layers: [0, 1, 1, 0] })).toEqual([false, true, true, false])
    expect(() => turning({ no_rope_layers: [1] })).toThrow('4 entries')
  })
})

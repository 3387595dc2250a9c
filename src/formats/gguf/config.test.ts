import { describe, expect, it } from 'vitest'
import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { f32 } from '../../base/tensor.ts'
import { convertGgufConfig, readGgufConfig } from './config.ts'
import { computeLlama3Divisors } from './rope.ts'

/**
 * Metadata of a small model; `changes` without a prefix of its own are put under the
 * architecture's.
 */
function metadata(
  architecture: string,
  changes: Record<string, unknown> = {},
): Map<string, unknown> {
  const own = {
    context_length: 2048,
    embedding_length: 64,
    block_count: 8,
    feed_forward_length: 112,
    'attention.head_count': 4,
    'attention.head_count_kv': 2,
    'attention.layer_norm_rms_epsilon': Math.fround(1e-5),
    'rope.freq_base': 500_000,
    vocab_size: 320,
    ...changes,
  }
  const entries = Object.entries(own).map(([key, value]): [string, unknown] => [
    /^(general|tokenizer)\./.test(key) ? key : `${architecture}.${key}`,
    value,
  ])
  return new Map<string, unknown>([['general.architecture', architecture], ...entries])
}
const tied = new Set(['token_embd.weight'])

describe('the config.json of a GGUF', () => {
  it('has the sizes of the model', () => {
    const ids = {
      'tokenizer.ggml.bos_token_id': 1,
      'tokenizer.ggml.eos_token_id': 2,
      'tokenizer.ggml.padding_token_id': 0,
    }
    expect(convertGgufConfig(metadata('llama', ids), tied)).toEqual({
      model_type: 'llama',
      architectures: ['LlamaForCausalLM'],
      hidden_size: 64,
      intermediate_size: 112,
      num_hidden_layers: 8,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim: 16,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 2048,
      vocab_size: 320,
      tie_word_embeddings: true,
      hidden_act: 'silu',
      rope_parameters: { rope_type: 'default', rope_theta: 500_000 },
      attention_bias: false,
      mlp_bias: false,
      bos_token_id: 1,
      eos_token_id: 2,
      pad_token_id: 0,
    })
  })

  it('infers from the tensors whether the head is tied and whether there are biases', () => {
    const tensors = new Set(['output.weight', 'blk.0.attn_q.bias'])
    expect(convertGgufConfig(metadata('llama'), tensors)).toMatchObject({
      tie_word_embeddings: false,
      attention_bias: true,
    })
  })

  it('counts the tokens where the size of the vocabulary is not given, and the heads where there are no groups', () => {
    const file = metadata('llama', { 'tokenizer.ggml.tokens': ['a', 'b', 'c'] })
    file.delete('llama.vocab_size')
    file.delete('llama.attention.head_count_kv')
    expect(convertGgufConfig(file, tied)).toMatchObject({ vocab_size: 3, num_key_value_heads: 4 })
  })

  it('ends a generation at the end of a turn too', () => {
    const ids = { 'tokenizer.ggml.eos_token_id': 2, 'tokenizer.ggml.eot_token_id': 7 }
    expect(convertGgufConfig(metadata('llama', ids), tied)).toMatchObject({ eos_token_id: [2, 7] })
  })

  it.each([
    ['llama', { 'attention.sliding_window': 32 }, { model_type: 'mistral', sliding_window: 32 }],
    ['qwen2', {}, { model_type: 'qwen2', use_sliding_window: false }],
    [
      'qwen3',
      { 'attention.key_length': 20, 'attention.value_length': 20 },
      { model_type: 'qwen3', head_dim: 20, attention_bias: false },
    ],
    [
      'phi3',
      { 'rope.dimension_count': 12 },
      {
        model_type: 'phi3',
        sliding_window: null,
        rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.75 },
      },
    ],
    ['smollm3', {}, { model_type: 'smollm3', no_rope_layers: [1, 1, 1, 0, 1, 1, 1, 0] }],
    [
      'gemma3',
      { 'attention.sliding_window': 24, 'attention.key_length': 32, 'attention.value_length': 32 },
      {
        model_type: 'gemma3_text',
        hidden_activation: 'gelu_pytorch_tanh',
        query_pre_attn_scalar: 32,
        layer_types: [1, 1, 1, 1, 1, 0, 1, 1].map((local) =>
          local ? 'sliding_attention' : 'full_attention',
        ),
        rope_parameters: {
          full_attention: { rope_theta: 500_000 },
          sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
        },
      },
    ],
  ])('of architecture %s has what is its own: %j', (architecture, changes, expected) => {
    expect(convertGgufConfig(metadata(architecture, changes), tied)).toMatchObject(expected)
  })

  it('is refused for other architectures, naming those that are supported', () => {
    expect(() => convertGgufConfig(metadata('mamba'), tied)).toThrow(UnsupportedError)
    expect(() => convertGgufConfig(metadata('mamba'), tied)).toThrow(
      /"mamba".*llama, qwen2, qwen3, gemma3, phi3, smollm3/,
    )
    expect(() => convertGgufConfig(metadata('llama', { expert_count: 8 }), tied)).toThrow(/Mixtral/)
  })

  it.each([
    ['embedding_length', undefined, /"llama\.embedding_length" is missing/],
    ['block_count', 'eight', /"llama\.block_count": got the string "eight", expected a number/],
    ['attention.head_count', 7, /not a multiple/],
  ])('is refused where %s is %s', (key, value, message) => {
    const file = metadata('llama', { [key]: value })
    expect(() => convertGgufConfig(file, tied)).toThrow(FormatError)
    expect(() => convertGgufConfig(file, tied)).toThrow(message)
  })

  it('is refused where keys and values differ in width', () => {
    expect(() =>
      convertGgufConfig(
        metadata('llama', { 'attention.key_length': 16, 'attention.value_length': 8 }),
        tied,
      ),
    ).toThrow(UnsupportedError)
  })
})

describe('RoPE scaling in a GGUF', () => {
  const rope = (changes: Record<string, unknown>): unknown =>
    convertGgufConfig(metadata('llama', changes), tied)['rope_parameters']

  it('is read where it is linear or YaRN', () => {
    expect(rope({ 'rope.scaling.type': 'linear', 'rope.scaling.factor': 4 })).toEqual({
      rope_type: 'linear',
      factor: 4,
      rope_theta: 500_000,
    })
    expect(
      rope({
        'rope.scaling.type': 'yarn',
        'rope.scaling.factor': 4,
        'rope.scaling.original_context_length': 512,
      }),
    ).toEqual({
      rope_type: 'yarn',
      factor: 4,
      original_max_position_embeddings: 512,
      rope_theta: 500_000,
    })
  })

  it("is recognised as Llama 3's from its frequency factors", () => {
    const tensors = new Set(['rope_freqs.weight'])
    const file = metadata('llama', { 'attention.key_length': 64, 'attention.value_length': 64 })
    const ropeFactors = Float32Array.from(computeLlama3Divisors(32, 64, 500_000))
    expect(convertGgufConfig(file, tensors, { ropeFactors })['rope_parameters']).toEqual({
      rope_type: 'llama3',
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
      rope_theta: 500_000,
    })
    expect(() =>
      convertGgufConfig(file, tensors, { ropeFactors: ropeFactors.map((x) => x * 1.1) }),
    ).toThrow(UnsupportedError)
    expect(() => convertGgufConfig(file, tensors)).toThrow(/rope_freqs\.weight/)
  })

  it('is read from the file where the file has the factors', async () => {
    const values = { 'attention.key_length': 64, 'attention.value_length': 64 }
    const data = computeLlama3Divisors(8, 64, 500_000)
    const info = { type: 'f32', shape: [32], offset: 0, sizeBytes: 128 } as const
    const file = {
      metadata: metadata('llama', values) as Map<string, number>,
      tensors: new Map([['rope_freqs.weight', info]]),
      read: async () => f32([32], data),
    }
    expect((await readGgufConfig(file))['rope_parameters']).toMatchObject({
      rope_type: 'llama3',
      factor: 8,
    })
    expect(
      (await readGgufConfig({ ...file, tensors: new Map() }))['rope_parameters'],
    ).toMatchObject({ rope_type: 'default' })
  })

  it('is longrope where the file has two lists of factors', async () => {
    const values = { 'rope.scaling.original_context_length': 512, 'rope.scaling.attn_factor': 1.25 }
    const info = { type: 'f32', shape: [2], offset: 0, sizeBytes: 8 } as const
    const lists = { short: [1, 1.5], long: [1, 4] }
    const file = {
      metadata: metadata('phi3', values) as Map<string, number>,
      tensors: new Map(
        ['short', 'long'].map((name) => [`rope_factors_${name}.weight`, info] as const),
      ),
      read: async (name: string) =>
        f32([2], Float32Array.from(lists[name.includes('short') ? 'short' : 'long'])),
    }
    const config = await readGgufConfig(file)
    expect(config).toMatchObject({
      original_max_position_embeddings: 512,
      rope_parameters: {
        rope_type: 'longrope',
        short_factor: [1, 1.5],
        long_factor: [1, 4],
        original_max_position_embeddings: 512,
        attention_factor: 1.25,
      },
    })
  })

  it('is refused where it is of another kind', () => {
    expect(() => rope({ 'rope.scaling.type': 'proportional' })).toThrow(
      /"proportional".*none, linear, yarn, longrope, llama3/,
    )
    expect(() => rope({ 'rope.scaling.type': 'longrope' })).toThrow(/rope_factors_short\.weight/)
    expect(() =>
      convertGgufConfig(metadata('phi3'), new Set(['rope_factors_long.weight'])),
    ).toThrow(UnsupportedError)
  })
})

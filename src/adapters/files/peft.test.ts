import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { FormatError, NotFoundError, UnsupportedError } from '../../base/errors.ts'
import type { Tensor } from '../../base/tensor.ts'
import { fromFloat32, toFloat32 } from '../../formats/convert.ts'
import { toAdapterFeeds } from '../adapter.ts'
import { initializeAdapter } from '../create-adapter.ts'
import { folderAt, memorySink, parity, storiesBase } from '../../../test/support/adapters.ts'
import type { LoraConfig } from '../kinds/lora-config.ts'
import { stringifyAdapterConfig, loadAdapter, saveAdapter } from './peft.ts'

const directory = new URL('lora_qv_r8/', parity)
let config: Record<string, unknown>
beforeAll(async () => {
  config = JSON.parse(await readFile(new URL('adapter_config.json', directory), 'utf8'))
})

const bytes = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
const loadWith = (changes: object) =>
  loadAdapter(folderAt(directory, { 'adapter_config.json': bytes({ ...config, ...changes }) }))
const errorOf = async (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => Promise.reject(new Error('nothing was thrown')),
    (error: Error) => error,
  )

describe('loadAdapter', () => {
  it('reads the configuration into its own words', async () => {
    const adapter = await loadWith({
      layers_to_transform: 3,
      exclude_modules: [],
      init_lora_weights: 'gaussian',
      lora_alpha: 2.5,
    })
    expect(adapter).toMatchObject({ kind: 'lora', baseModel: 'stories260k' })
    expect(adapter.config).toMatchObject({
      rank: 8,
      alpha: 2.5,
      layers: [3],
      exclude: [],
      start: 'gaussian',
      targets: ['v_proj', 'q_proj'],
    })
  })

  it.each(['eva', 'orthogonal'])('reads a LoRA that started as %s', async (start) => {
    const given = { init_lora_weights: start, eva_config: start === 'eva' ? { rho: 2 } : null }
    const adapter = await loadWith(given)
    expect((adapter.config as LoraConfig).start).toBe('kaiming')
    expect(JSON.parse(stringifyAdapterConfig(adapter))).toMatchObject(given)
  })

  it.each([[''], [[]], [null]])('reads layers_pattern %j like no pattern', async (pattern) => {
    const adapter = await loadWith({ layers_to_transform: [0], layers_pattern: pattern })
    expect(adapter.config.layersPattern).toEqual([])
    expect(JSON.parse(stringifyAdapterConfig(adapter)).layers_pattern).toEqual(pattern)
  })

  it('reads an alpha of 0, and patterns that match nothing', async () => {
    const adapter = await loadWith({ lora_alpha: 0, rank_pattern: { nope_proj: 3 } })
    expect(adapter.config).toMatchObject({ alpha: 0, rankPattern: { nope_proj: 3 } })
  })

  it('reports that a Git LFS pointer is one', async () => {
    const pointer = bytes(
      'version https://git-lfs.github.com/spec/v1\noid sha256:11\nsize 3456789\n',
    )
    for (const name of ['adapter_config.json', 'adapter_model.safetensors'])
      await expect(loadAdapter(folderAt(directory, { [name]: pointer }))).rejects.toThrow(
        /is a Git LFS pointer, not the file itself. Run "git lfs pull"/,
      )
  })

  it('reads a prefix that was trained through a projection', async () => {
    const prefix = new URL('prefix_6/', parity)
    const json = JSON.parse(await readFile(new URL('adapter_config.json', prefix), 'utf8'))
    const changed = { ...json, prefix_projection: true, encoder_hidden_size: 64 }
    const adapter = await loadAdapter(folderAt(prefix, { 'adapter_config.json': bytes(changed) }))
    expect(adapter.tensors).toEqual((await loadAdapter(folderAt(prefix))).tensors)
    expect(JSON.parse(stringifyAdapterConfig(adapter))).toMatchObject({
      prefix_projection: true,
      encoder_hidden_size: 64,
    })
  })

  it('names every setting that it does not support, with its value, in one error', async () => {
    const error = await errorOf(
      loadWith({
        use_qalora: true,
        modules_to_save: 'lm_head',
        init_lora_weights: 'pissa',
        r: 0,
        fan_in_fan_out: true,
        task_type: 'SEQ_CLS',
        new_idea: { on: 1 },
      }),
    )
    expect(error).toBeInstanceOf(UnsupportedError)
    expect(
      error.message
        .split('\n')
        .slice(1)
        .map((line) => line.trim())
        .sort(),
    ).toEqual(
      [
        'use_qalora: true',
        'modules_to_save: got "lm_head", expected a list, each a string',
        'init_lora_weights: got "pissa", expected true, false, "gaussian", "mica", "eva", "orthogonal"',
        'r: got 0, expected an integer ≥ 1',
        'fan_in_fan_out: true',
        'task_type: "SEQ_CLS"',
        'new_idea: {"on":1}',
      ].sort(),
    )
  })

  it('lets unknown keys pass that say nothing, and writes them back', async () => {
    const harmless = {
      some_flag: false,
      some_list: [],
      some_config: { inner: null },
      some_name: '',
      peft_version: '9.9',
    }
    const adapter = await loadWith(harmless)
    expect(JSON.parse(stringifyAdapterConfig(adapter))).toEqual({ ...config, ...harmless })
  })

  it('reports which required key is missing', async () => {
    const error = await errorOf(loadWith({ r: null, target_modules: undefined }))
    expect(error.message).toContain('r: is missing')
    expect(error.message).toContain('target_modules: is missing')
  })

  it('distinguishes the faults of a folder', async () => {
    const load = (changes: Record<string, Uint8Array | undefined>) =>
      errorOf(loadAdapter(folderAt(directory, changes)))
    const tensors = await readFile(new URL('adapter_model.safetensors', directory))
    const gone = await load({ 'adapter_config.json': undefined })
    expect(gone).toBeInstanceOf(NotFoundError)
    expect(gone.message).toContain('has no adapter_config.json')
    const unfinished = { 'adapter_config.json': undefined, 'expert.json': bytes('{}') }
    expect((await load(unfinished)).message).toContain('its training has not ended')
    expect(await load({ 'adapter_model.safetensors': undefined })).toBeInstanceOf(NotFoundError)
    expect(await load({ 'adapter_config.json': bytes('{"r": ') })).toBeInstanceOf(FormatError)
    expect(await load({ 'adapter_config.json': bytes('[1]') })).toBeInstanceOf(FormatError)
    expect(await load({ 'adapter_model.safetensors': tensors.subarray(0, 5000) })).toBeInstanceOf(
      FormatError,
    )
    const torch = await load({
      'adapter_model.safetensors': undefined,
      'adapter_model.bin': bytes('x'),
    })
    expect(torch).toBeInstanceOf(UnsupportedError)
    expect(torch.message).toContain('weights_only=True')
    expect((await errorOf(loadWith({ peft_type: 'XLORA' }))).message).toContain(
      'peft_type is "XLORA"; supported: LORA',
    )
  })
})

describe('saveAdapter', () => {
  it('writes a fresh adapter with the keys that PEFT expects', async () => {
    const { model } = await storiesBase()
    const adapter = initializeAdapter(
      'lora',
      { rank: 2, targets: 'attention', layers: [1] },
      model,
      {
        seed: 1,
        baseModel: 'stories260k',
      },
    )
    const sink = memorySink()
    await saveAdapter(adapter, sink)
    expect(
      JSON.parse(new TextDecoder().decode(sink.files.get('adapter_config.json'))),
    ).toMatchObject({
      peft_type: 'LORA',
      task_type: 'CAUSAL_LM',
      base_model_name_or_path: 'stories260k',
      r: 2,
      lora_alpha: 4,
      target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
      layers_to_transform: [1],
      exclude_modules: null,
      use_dora: false,
    })
    const loaded = await loadAdapter(sink)
    expect([...loaded.tensors.keys()].sort()).toEqual(
      ['k', 'o', 'q', 'v'].flatMap((name) =>
        ['A', 'B'].map(
          (side) => `base_model.model.model.layers.1.self_attn.${name}_proj.lora_${side}.weight`,
        ),
      ),
    )
    expect((loaded.config as LoraConfig).rank).toBe(2)
  })

  it('keeps 16-bit tensors as they are, and feeds them in f32', async () => {
    const adapter = await loadAdapter(folderAt(directory))
    const half = new Map(
      [...adapter.tensors].map(([key, tensor]): [string, Tensor] => [
        key,
        { dtype: 'bf16', shape: tensor.shape, data: fromFloat32(toFloat32(tensor), 'bf16') },
      ]),
    )
    const sink = memorySink()
    await saveAdapter({ ...adapter, tensors: half }, sink)
    const loaded = await loadAdapter(sink)
    expect(loaded.tensors).toEqual(half)
    expect(
      [...toAdapterFeeds(loaded).values()].every(
        ({ dtype, data }) => dtype === 'f32' && data instanceof Float32Array,
      ),
    ).toBe(true)
  })

  it('writes the configuration last, so that a folder with one is whole', async () => {
    const adapter = await loadAdapter(folderAt(directory))
    const written: string[] = []
    const full = {
      name: 'full disk',
      write: async (path: string) => {
        written.push(path)
        throw new Error('no space')
      },
    }
    await expect(saveAdapter(adapter, full)).rejects.toThrow('no space')
    expect(written).toEqual(['adapter_model.safetensors'])
  })
})

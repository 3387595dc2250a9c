// Odd adapter folders: seeded mutations of sound ones of every kind, as people find them. Each knows
// whether its change may be without effect, so that silence can be told.

import { random, type Random } from '../../../src/base/random.ts'
import type { Tensor } from '../../../src/base/tensor.ts'
import { initializeAdapter } from '../../../src/adapters/create-adapter.ts'
import { saveAdapter } from '../../../src/adapters/files/peft.ts'
import { encodeAsDtype } from '../../../src/formats/encode-dtype.ts'
import { openSafetensors } from '../../../src/formats/safetensors/reader.ts'
import { createMemorySource } from '../../../src/formats/memory-source.ts'
import { encodeSafetensors } from '../../../src/formats/safetensors/writer.ts'
import { type Base, memorySink } from '../adapters.ts'

type Json = Record<string, unknown>
type Files = ReadonlyMap<string, Uint8Array>

/** A sound folder, taken apart. */
export interface SoundFolder {
  readonly kind: string
  readonly config: Readonly<Json>
  readonly tensors: ReadonlyMap<string, Tensor>
}

export interface OddFolder {
  readonly number: number
  readonly kind: string
  readonly mutation: string
  readonly files: Files
  readonly sound: SoundFolder
  /** What was changed, for the report. */
  readonly change: string
  /** A refusal must say one of these. */
  readonly mustName: readonly string[]
  /** The change may be without effect. */
  readonly isHarmless: boolean
}

export const configFile = 'adapter_config.json'
export const tensorFile = 'adapter_model.safetensors'

const small = { targets: ['q_proj', 'down_proj'], layers: [1] }
const kinds: readonly (readonly [string, Json])[] = [
  ['lora', { ...small, rank: 2 }],
  ['lora', { ...small, rank: 4, rankStabilized: true, rankPattern: { down_proj: 2 } }],
  ['dora', { ...small, rank: 2 }],
  ['ia3', { targets: ['k_proj', 'down_proj'], feedForward: ['down_proj'] }],
  ['lokr', { ...small, rank: 2 }],
  ['loha', { ...small, rank: 2 }],
  ['vera', { ...small, rank: 4 }],
  ['trainable-tokens', { trainableTokens: [7, 3, 309] }],
  ['prompt-tuning', { virtualTokens: 4 }],
  ['prefix-tuning', { virtualTokens: 4 }],
]

/** A sound folder of each kind on this base; no tensor is all zeros. */
export async function createSoundFolders({ model, weightOf }: Base): Promise<SoundFolder[]> {
  const folders: SoundFolder[] = []
  for (const [kind, options] of kinds) {
    const adapter = initializeAdapter(kind, options, model, { seed: 3, weightOf })
    const draw = random(5)
    const tensors = new Map(
      [...adapter.tensors].map(([key, tensor]) => {
        const data = Float32Array.from(tensor.data as Float32Array, (value) =>
          value === 0 ? 0.01 * draw.normal() : value,
        )
        return [key, Object.assign({}, tensor, { data })] as const
      }),
    )
    const sink = memorySink()
    await saveAdapter(Object.assign({}, adapter, { tensors }), sink)
    const config = JSON.parse(new TextDecoder().decode(sink.files.get(configFile))) as Json
    const store = await openSafetensors(createMemorySource(tensorFile, sink.files.get(tensorFile)!))
    const saved = new Map<string, Tensor>()
    for (const name of store.tensors.keys()) saved.set(name, await store.read(name))
    folders.push({ kind, config, tensors: saved })
  }
  return folders
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)

export function joinChunks(chunks: Iterable<Uint8Array>): Uint8Array {
  return Uint8Array.from([...chunks].flatMap((chunk) => [...chunk]))
}

export const toFiles = (
  config: unknown,
  tensors: ReadonlyMap<string, Tensor>,
): Map<string, Uint8Array> =>
  new Map([
    [tensorFile, joinChunks(encodeSafetensors(tensors, { format: 'pt' }))],
    [configFile, encode(typeof config === 'string' ? config : JSON.stringify(config))],
  ])

/** Settings of PEFT that change a result, and some that nobody knows. */
const settings: readonly (readonly [string, unknown])[] = [
  ...([
    ['use_qalora', true],
    ['use_bdlora', { target_modules_bd_a: ['q_proj'] }],
    ['layer_replication', [[0, 2]]],
    ['corda_config', { cov: 1 }],
    ['target_parameters', ['experts.up']],
    ['fan_in_fan_out', true],
    ['megatron_config', { size: 1 }],
    ['arrow_config', { top_k: 2 }],
    ['ensure_weight_tying', true],
    ['loftq_config', { loftq_bits: 4 }],
    ['monteclora_config', { samples: 2 }],
    ['alora_invocation_tokens', [5, 6]],
    ['trainable_token_indices', [5]],
    ['exclude_modules', ['q_proj']],
    ['modules_to_save', ['lm_head']],
    ['layers_to_transform', [3]],
    ['rank_pattern', { q_proj: 3 }],
    ['alpha_pattern', { q_proj: 9 }],
    ['use_rslora', true],
    ['use_dora', true],
    ['lora_bias', true],
    ['bias', 'all'],
    ['init_lora_weights', 'pissa'],
    ['task_type', 'SEQ_CLS'],
    ['decompose_both', true],
    ['projection_prng_key', 7],
    ['save_projection', false],
    ['num_layers', 3],
    ['token_dim', 32],
    ['num_transformer_submodules', 2],
    ['prefix_projection', true],
    ['zq', 'mark'],
    ['__proto__', { r: 3 }],
    ['constructor', 'x'],
    ['toString', 1],
    ['ключ', ['x']],
  ] as const),
]

/** Settings that describe an adapter; a value that nothing computes with. */
const descriptive = new Set([
  ...['base_model_name_or_path', 'revision', 'peft_version', 'inference_mode', 'auto_mapping'],
  ...['init_lora_weights', 'init_weights', 'init_ia3_weights', 'prompt_tuning_init', 'task_type'],
  ...['prompt_tuning_init_text', 'tokenizer_name_or_path', 'tokenizer_kwargs', 'd_initial'],
  // of VeRA: the projections are in the file; of prefix tuning: only in training
  ...['projection_prng_key', 'prefix_projection'],
  ...['lora_dropout', 'rank_dropout', 'module_dropout', 'vera_dropout', 'rank_dropout_scale'],
])

const oddValues: readonly unknown[] = [
  ...['', 'mark', 0, -1, 1.5, 1e300, true, false, null, [], {}, ['mark'], [0], { mark: 1 }, [[]]],
]

const isEmpty = (value: unknown): boolean =>
  value === null ||
  value === false ||
  value === '' ||
  (typeof value === 'object' && Object.values(value as object).every(isEmpty))

export const pickOne = <Item>(items: readonly Item[], draw: Random): Item =>
  items[draw.integer(items.length)]!

/** A config with one own key more, whatever its name. */
function withSetting(config: Readonly<Json>, key: string, value: unknown): Json {
  const { [key]: _, ...others } = config
  return Object.fromEntries([...Object.entries(others), [key, value]])
}

function withoutSetting(config: Readonly<Json>, key: string): Json {
  return Object.fromEntries(Object.entries(config).filter(([name]) => name !== key))
}

type Change = Pick<OddFolder, 'files' | 'change' | 'mustName' | 'isHarmless'>
type Mutate = (folder: SoundFolder, draw: Random, others: readonly SoundFolder[]) => Change

/** Names that a key of a tensor gets from wrappers, loaders and other tools. */
const renames: readonly ((key: string) => string)[] = [
  (key) => `_orig_mod.${key}`,
  (key) => key.replace('base_model.model.', 'base_model.model._orig_mod.'),
  (key) => `module.${key}`,
  (key) => key.replace('base_model.model.', ''),
  (key) => key.replace('base_model.model.', 'base_model.model.base_model.model.'),
  (key) => key.replace('base_model.model.model.', 'base_model.model.'),
  (key) => key.replace('base_model.model.', 'transformer.'),
  (key) => key.replace('.weight', '.default.weight'),
  (key) => key.replace('.layers.1.', '.layers.7.'),
  (key) => key.replace('.layers.', '.h.'),
  (key) => key.replace('lora_A', 'lora_down').replace('lora_B', 'lora_up'),
  (key) => key.toUpperCase(),
  (key) => `${key} `,
  (key) => `_fsdp_wrapped_module.${key}`,
  (key) => key.replaceAll('.', '_'),
  () => '__proto__',
]

export const pages: readonly string[] = [
  'version https://git-lfs.github.com/spec/v1\noid sha256:4f\nsize 12345\n',
  ...[
    '<!DOCTYPE html><html></html>',
    '',
    '{}',
    '[]',
    'null',
    '\u0000\u0000\u0000\u0000',
    '{"r": 8',
  ],
  ...['\ufeff{"peft_type": "LORA"}', '{"peft_type": NaN}', 'PK\u0003\u0004', '7', '"LORA"'],
]

/** The files with a tensor changed. */
function changeTensor(
  { config, tensors }: SoundFolder,
  draw: Random,
  change: (tensor: Tensor) => Tensor | undefined,
): { files: Files; key: string } {
  const key = pickOne([...tensors.keys()], draw)
  const changed = new Map(tensors)
  const tensor = change(tensors.get(key)!)
  if (tensor) changed.set(key, tensor)
  else changed.delete(key)
  return { files: toFiles(config, changed), key }
}

const configMutations: Readonly<Record<string, Mutate>> = {
  'config: one more setting'({ config, tensors }, draw) {
    const [key, value] = pickOne(
      settings.filter(([name]) => !Object.hasOwn(config, name) || isEmpty(config[name])),
      draw,
    )
    const files = toFiles(withSetting(config, key, value), tensors)
    // a projection was used in training only: the file holds what came out of it
    const isHarmless = key === 'prefix_projection' || isEmpty(value)
    return { files, change: key, mustName: [key, 'base_model.'], isHarmless }
  },
  'config: a setting is missing'({ config, tensors }, draw) {
    const key = pickOne(Object.keys(config), draw)
    const files = toFiles(withoutSetting(config, key), tensors)
    // without a setting PEFT takes its default, which may be what stood there
    return { files, change: key, mustName: [key, 'base_model.'], isHarmless: true }
  },
  'config: a setting is misspelt'({ config, tensors }, draw) {
    const key = pickOne(
      Object.keys(config).filter((name) => !isEmpty(config[name])),
      draw,
    )
    const other = pickOne([key.toUpperCase(), `${key}s`, `_${key}`, `${key} `], draw)
    const files = toFiles(withSetting(withoutSetting(config, key), other, config[key]), tensors)
    return { files, change: other, mustName: [other, key], isHarmless: false }
  },
  'config: a value of another type'({ config, tensors }, draw) {
    const key = pickOne(Object.keys(config), draw)
    const value = pickOne(oddValues, draw)
    const isSame = JSON.stringify(value) === JSON.stringify(config[key])
    // null is no value, so PEFT's default holds, as where a setting is missing
    const isHarmless =
      isSame || value === null || descriptive.has(key) || (isEmpty(value) && isEmpty(config[key]))
    const files = toFiles(withSetting(config, key, value), tensors)
    const change = `${key}: ${JSON.stringify(value)}`
    return { files, change, mustName: [key, 'base_model.', configFile], isHarmless }
  },
  'config: another file in its place'({ config, tensors }, draw) {
    const text = JSON.stringify(config)
    const page = pickOne(
      [...pages, text.slice(0, draw.integer(text.length)), `${text}x`, `[${text}]`],
      draw,
    )
    const files = toFiles(page, tensors)
    return { files, change: page.slice(0, 40), mustName: [configFile], isHarmless: false }
  },
}

const tensorMutations: Readonly<Record<string, Mutate>> = {
  'tensors: one is missing'(folder, draw) {
    const { files, key } = changeTensor(folder, draw, () => undefined)
    return { files, change: key, mustName: [key], isHarmless: false }
  },
  'tensors: one too many'({ config, tensors }, draw, others) {
    const other = pickOne(others, draw)
    const key = pickOne([...other.tensors.keys()], draw)
    const name = pickOne(
      [key, key.replace('layers.1', 'layers.3'), 'base_model.model.lm_head.weight', 'zq', 'x.y'],
      draw,
    )
    const isHarmless = tensors.has(name)
    const added = new Map([[name, other.tensors.get(key)!], ...tensors])
    return { files: toFiles(config, added), change: name, mustName: [name], isHarmless }
  },
  'tensors: another shape'(folder, draw) {
    let shape: readonly number[] = []
    let isSame = false
    const { files, key } = changeTensor(folder, draw, (tensor) => {
      const size = tensor.data.length
      const forms = [
        tensor.shape.toReversed(),
        [size],
        [1, ...tensor.shape],
        [size, 1],
        [1, 1, size],
      ]
      shape = pickOne(forms, draw)
      isSame = shape.join() === tensor.shape.join()
      return Object.assign({}, tensor, { shape })
    })
    return { files, change: `${key} [${shape.join()}]`, mustName: [key], isHarmless: isSame }
  },
  'tensors: another element type'(folder, draw) {
    const dtype = pickOne(['f16', 'bf16', 'f64', 'i64', 'i32', 'u8'] as const, draw)
    const { files, key } = changeTensor(folder, draw, (tensor) => castTensor(tensor, dtype))
    const isWhole = (folder.tensors.get(key)!.data as Float32Array).every(Number.isInteger)
    const isHarmless = dtype === 'f16' || dtype === 'bf16' || dtype === 'f64' || isWhole
    return { files, change: `${key} ${dtype}`, mustName: [key], isHarmless }
  },
  'tensors: NaN or infinity'(folder, draw) {
    const { files, key } = changeTensor(folder, draw, (tensor) => {
      const data = Float32Array.from(tensor.data as Float32Array)
      data[draw.integer(data.length)] = pickOne([NaN, Infinity, -Infinity], draw)
      return Object.assign({}, tensor, { data })
    })
    return { files, change: key, mustName: [key], isHarmless: false }
  },
  'tensors: other names'({ config, tensors }, draw) {
    const rename = pickOne(renames, draw)
    const all = draw.integer(2) === 0
    const one = pickOne([...tensors.keys()], draw)
    const renamed = new Map(
      [...tensors].map(([key, tensor]) => [all || key === one ? rename(key) : key, tensor]),
    )
    const change = rename(one)
    return {
      files: toFiles(config, renamed),
      change,
      mustName: [...tensors.keys(), ...renamed.keys()],
      isHarmless: true,
    }
  },
}

/** A tensor's values in another element type; whole numbers are rounded. */
function castTensor({ shape, data }: Tensor, dtype: 'f16' | 'bf16' | 'f64' | 'i64' | 'i32' | 'u8') {
  const values = Float32Array.from(data as Float32Array)
  if (dtype === 'f16' || dtype === 'bf16')
    return encodeAsDtype('x', { dtype: 'f32', shape, data: values }, dtype)
  const cast =
    dtype === 'f64'
      ? Float64Array.from(values)
      : dtype === 'i64'
        ? BigInt64Array.from([...values].map((value) => BigInt(Math.round(value))))
        : dtype === 'i32'
          ? Int32Array.from(values)
          : Uint8Array.from(values)
  return { dtype, shape, data: cast } as Tensor
}

const fileMutations: Readonly<Record<string, Mutate>> = {
  'files: one is missing'({ config, tensors }, draw) {
    const files = toFiles(config, tensors)
    const name = pickOne([configFile, tensorFile], draw)
    files.delete(name)
    const other = pickOne(['adapter_model.bin', 'model.safetensors', 'README.md', 'x.gguf'], draw)
    files.set(other, encode('x'))
    return { files, change: `${name}, ${other} there`, mustName: [name, other], isHarmless: false }
  },
  'files: another in place of the tensors'({ config, tensors }, draw) {
    const page = pickOne(pages, draw)
    const files = toFiles(config, tensors).set(tensorFile, encode(page))
    return { files, change: page.slice(0, 40), mustName: [tensorFile], isHarmless: false }
  },
  'files: tensors cut short or longer'({ config, tensors }, draw) {
    const files = toFiles(config, tensors)
    const bytes = files.get(tensorFile)!
    const isCut = draw.integer(3) > 0
    const length = draw.integer(bytes.length)
    files.set(tensorFile, isCut ? bytes.slice(0, length) : Uint8Array.from([...bytes, 0, 1, 2]))
    const change = isCut ? `${length} of ${bytes.length} bytes` : 'three bytes more'
    return { files, change, mustName: [tensorFile], isHarmless: false }
  },
  'files: a byte of the header differs'({ config, tensors }, draw) {
    const files = toFiles(config, tensors)
    const bytes = files.get(tensorFile)!
    const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true))
    const at = draw.integer(8 + headerBytes)
    const before = bytes[at]!
    bytes[at] = before ^ (1 << draw.integer(8))
    const name = [...tensors.keys()]
    // the header's padding and the name of the library that wrote it mean nothing
    return {
      files,
      change: `byte ${at}: ${before} → ${bytes[at]}`,
      mustName: [tensorFile, ...name, 'base_model'],
      isHarmless: true,
    }
  },
}

const mutations = { ...configMutations, ...tensorMutations, ...fileMutations }

export const folderMutations: readonly string[] = Object.keys(mutations)

/** The odd folder of this number; the same generator state gives the same folder. */
export function createOddFolder(
  number: number,
  draw: Random,
  sound: readonly SoundFolder[],
): OddFolder {
  const folder = pickOne(sound, draw)
  const mutation = folderMutations[number % folderMutations.length]!
  const change = mutations[mutation as keyof typeof mutations]!(folder, draw, sound)
  return Object.assign({ number, kind: folder.kind, mutation, sound: folder }, change)
}

/** The odd folders of the corpus, the same each time. */
export function createOddFolders(
  sound: readonly SoundFolder[],
  count = 500,
  seed = 12,
): OddFolder[] {
  const draw = random(seed)
  return Array.from({ length: count }, (_, i) => createOddFolder(i, draw, sound))
}

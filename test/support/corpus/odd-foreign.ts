// Odd adapters of mlx-lm and llama.cpp: seeded mutations of sound ones. Independent of the code that
// reads them.

import { random, type Random } from '../../../src/base/random.ts'
import type { F32Tensor, Tensor } from '../../../src/base/tensor.ts'
import { encodeGgufAdapter } from '../../../src/adapters/files/gguf.ts'
import { loadAdapter } from '../../../src/adapters/files/peft.ts'
import { fromFloat32 } from '../../../src/formats/convert.ts'
import { openGguf } from '../../../src/formats/gguf/reader.ts'
import type { GgufEntry } from '../../../src/formats/gguf/types.ts'
import { encodeGguf } from '../../../src/formats/gguf/writer.ts'
import { createMemorySource } from '../../../src/formats/memory-source.ts'
import { encodeSafetensors } from '../../../src/formats/safetensors/writer.ts'
import type { Base } from '../adapters.ts'
import { ggufFile, mlxConfigFile, mlxTensorFile } from './foreign-files.ts'
import { openFiles } from './folder-outcome.ts'
import { joinChunks, pages, pickOne, type SoundFolder, toFiles } from './odd-folders.ts'

type Files = ReadonlyMap<string, Uint8Array>
type Tensors = ReadonlyMap<string, Tensor>

export interface OddForeign {
  readonly number: number
  readonly kind: 'mlx-lm LoRA' | 'mlx-lm DoRA' | 'llama.cpp LoRA'
  readonly mutation: string
  readonly change: string
  readonly files: Files
  readonly soundFiles: Files
  /** A refusal must say one of these. */
  readonly mustName: readonly string[]
  /** The change may be without effect. */
  readonly isHarmless: boolean
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)

/** The LoRA's effect is made large, so that it shows in answers. */
function enlarge(tensors: Tensors): Map<string, Tensor> {
  return new Map(
    [...tensors].map(([key, tensor]) => {
      const isB = key.includes('lora_B')
      const data = Float32Array.from(tensor.data as Float32Array, (x) => (isB ? 40 * x : x))
      return [key, { dtype: 'f32', shape: tensor.shape, data }]
    }),
  )
}

function transpose({ shape, data }: Tensor): F32Tensor {
  const [rows, columns] = shape as [number, number]
  const values = data as Float32Array
  const turned = Float32Array.from(
    values,
    (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!,
  )
  return { dtype: 'f32', shape: [columns, rows], data: turned }
}

/** PEFT's tensors as mlx-lm names and keeps them. */
const toMlxTensors = (tensors: Tensors): Map<string, Tensor> =>
  new Map(
    [...enlarge(tensors)].map(([key, tensor]) => {
      const name = key
        .replace('base_model.model.', '')
        .replace('.lora_A.weight', '.lora_a')
        .replace('.lora_B.weight', '.lora_b')
        .replace(/\.lora_magnitude_vector(\.weight)?$/, '.m')
      return [name, tensor.shape.length === 2 ? transpose(tensor) : tensor]
    }),
  )

const toMlxConfig = (kind: string): Record<string, unknown> => ({
  fine_tune_type: kind,
  num_layers: 5,
  model: 'stories260k',
  lora_parameters: {
    rank: 2,
    dropout: 0,
    scale: 2,
    keys: ['self_attn.q_proj', 'mlp.down_proj'],
  },
})

const toMlxFiles = (config: unknown, tensors: Tensors): Map<string, Uint8Array> =>
  new Map([
    [mlxTensorFile, joinChunks(encodeSafetensors(tensors))],
    [mlxConfigFile, encode(typeof config === 'string' ? config : JSON.stringify(config))],
  ])

interface Foreign {
  readonly kind: OddForeign['kind']
  readonly config: Readonly<Record<string, unknown>>
  readonly metadata: ReadonlyMap<string, GgufEntry>
  readonly tensors: Tensors
  write(parts: Pick<Foreign, 'config' | 'metadata' | 'tensors'>): Map<string, Uint8Array>
}

const writeGguf: Foreign['write'] = ({ metadata, tensors }) =>
  new Map([[ggufFile, joinChunks(encodeGguf({ metadata, tensors }))]])
const writeMlx: Foreign['write'] = ({ config, tensors }) => toMlxFiles(config, tensors)

const ggufMetadata: ReadonlyMap<string, GgufEntry> = new Map([
  ['general.type', { type: 'string', value: 'adapter' }],
  ['general.architecture', { type: 'string', value: 'llama' }],
  ['adapter.type', { type: 'string', value: 'lora' }],
  ['adapter.lora.alpha', { type: 'f32', value: 4 }],
])

/** Sound adapters of both tools, from the PEFT folders of LoRA and DoRA. */
export async function createForeign(
  sound: readonly SoundFolder[],
  base: Base,
): Promise<readonly Foreign[]> {
  const lora = sound.find(({ kind }) => kind === 'lora')!
  const dora = sound.find(({ kind }) => kind === 'dora')!
  const adapter = await loadAdapter(openFiles(toFiles(lora.config, enlarge(lora.tensors))))
  const bytes = joinChunks(encodeGgufAdapter(adapter, base.model))
  const file = await openGguf(createMemorySource('sound.gguf', bytes))
  const tensors = new Map<string, Tensor>()
  for (const name of file.tensors.keys()) tensors.set(name, await file.read(name))
  const empty = new Map<string, GgufEntry>()
  const toMlx = (kind: OddForeign['kind'], name: string, folder: SoundFolder): Foreign => ({
    ...{ kind, config: toMlxConfig(name), metadata: empty },
    ...{ tensors: toMlxTensors(folder.tensors), write: writeMlx },
  })
  return [
    toMlx('mlx-lm LoRA', 'lora', lora),
    toMlx('mlx-lm DoRA', 'dora', dora),
    { kind: 'llama.cpp LoRA', config: {}, metadata: ggufMetadata, tensors, write: writeGguf },
  ]
}

type Change = Pick<OddForeign, 'files' | 'change' | 'mustName' | 'isHarmless'>
type Mutate = (sound: Foreign, draw: Random) => Change

const oddSettings: readonly unknown[] = [
  '',
  'mark',
  0,
  -1,
  1.5,
  1e300,
  true,
  null,
  [],
  {},
  ['mark'],
]

/** Config keys with a path; those of lora_parameters are one level down. */
function changeConfig(
  { config }: Foreign,
  key: string,
  change: (settings: Record<string, unknown>) => void,
): Record<string, unknown> {
  const copy = structuredClone(config) as Record<string, Record<string, unknown>>
  change(key in copy ? copy : copy['lora_parameters']!)
  return copy
}

const listConfigKeys = ({ config }: Foreign): string[] => [
  ...Object.keys(config),
  ...Object.keys(config['lora_parameters'] as object),
]

/** The tensors decide on ranks, layers and modules, whatever the configuration says of them. */
const descriptiveKeys = ['model', 'num_layers', 'rank', 'keys', 'dropout']

const oddMetadata: readonly (readonly [string, GgufEntry])[] = [
  ['general.type', { type: 'string', value: 'model' }],
  ['general.architecture', { type: 'string', value: 'qwen2' }],
  ['adapter.type', { type: 'string', value: 'dora' }],
  ['adapter.lora.alpha', { type: 'f32', value: 9 }],
  ['adapter.lora.alpha', { type: 'f32', value: -3 }],
  ['adapter.lora.alpha', { type: 'f32', value: NaN }],
  ['adapter.lora.alpha', { type: 'string', value: '4' }],
  ['general.type', { type: 'u32', value: 4 }],
]

const settingMutations: Readonly<Record<string, Mutate>> = {
  'config: a setting is missing'(sound, draw) {
    if (sound.metadata.size > 0) {
      const key = pickOne([...sound.metadata.keys()], draw)
      const metadata = new Map([...sound.metadata].filter(([name]) => name !== key))
      // without an alpha llama.cpp does not scale
      return {
        files: sound.write({ ...sound, metadata }),
        change: key,
        mustName: [key],
        isHarmless: false,
      }
    }
    const key = pickOne(listConfigKeys(sound), draw)
    const config = changeConfig(sound, key, (settings) => delete settings[key])
    const isHarmless = [...descriptiveKeys, 'fine_tune_type'].includes(key)
    const mustName = [key, mlxTensorFile, 'adapter_config.json', 'dora', 'lora']
    return { files: sound.write({ ...sound, config }), change: key, mustName, isHarmless }
  },
  'config: a value of another type'(sound, draw) {
    if (sound.metadata.size > 0) {
      const [key, value] = pickOne(oddMetadata, draw)
      const metadata = new Map([...sound.metadata]).set(key, value)
      const change = `${key}: ${String(value.value)}`
      return {
        files: sound.write({ ...sound, metadata }),
        change,
        mustName: [key],
        isHarmless: false,
      }
    }
    const key = pickOne(listConfigKeys(sound), draw)
    const value = pickOne(oddSettings, draw)
    const config = changeConfig(sound, key, (settings) => (settings[key] = value))
    const isHarmless = descriptiveKeys.includes(key) || (key === 'fine_tune_type' && value === null)
    const change = `${key}: ${JSON.stringify(value)}`
    const mustName = [key, 'adapter_config.json', 'lora adapter']
    return { files: sound.write({ ...sound, config }), change, mustName, isHarmless }
  },
  'config: one more setting'(sound, draw) {
    const key = pickOne(['zq', 'alpha', 'lora_alpha', 'use_dora', '__proto__'], draw)
    if (sound.metadata.size > 0) {
      const metadata = new Map([...sound.metadata]).set(`adapter.lora.${key}`, {
        type: 'f32',
        value: 3,
      })
      // llama.cpp does not look at keys that it does not know
      return {
        files: sound.write({ ...sound, metadata }),
        change: key,
        mustName: [key],
        isHarmless: true,
      }
    }
    const at = pickOne(['model', 'rank'], draw)
    const config = changeConfig(sound, at, (settings) =>
      Object.defineProperty(settings, key, { value: 3, enumerable: true }),
    )
    return {
      files: sound.write({ ...sound, config }),
      change: key,
      mustName: [key],
      isHarmless: at === 'model',
    }
  },
}

/** The files with one tensor changed, under its name or another. */
function changeTensor(
  sound: Foreign,
  draw: Random,
  change: (tensor: Tensor, key: string) => readonly [string, Tensor] | undefined,
): { files: Files; key: string } {
  const key = pickOne([...sound.tensors.keys()], draw)
  const tensors = new Map(sound.tensors)
  const changed = change(tensors.get(key)!, key)
  if (changed?.[0] !== key) tensors.delete(key)
  if (changed) tensors.set(...changed)
  return { files: sound.write({ ...sound, tensors }), key }
}

const tensorMutations: Readonly<Record<string, Mutate>> = {
  'tensors: one is missing'(sound, draw) {
    const { files, key } = changeTensor(sound, draw, () => undefined)
    const module = key.replace(/\.(lora_[ab]|m)$/, '')
    return { files, change: key, mustName: [key, module], isHarmless: false }
  },
  'tensors: one too many'(sound, draw) {
    const [first] = [...sound.tensors]
    const name = pickOne(['zq', 'x.lora_a', first![0].replace('.1.', '.9.')], draw)
    const tensors = new Map(sound.tensors).set(name, first![1])
    return {
      files: sound.write({ ...sound, tensors }),
      change: name,
      mustName: [name],
      isHarmless: false,
    }
  },
  'tensors: another shape'(sound, draw) {
    const { files, key } = changeTensor(sound, draw, (tensor, name) => {
      const size = tensor.data.length
      const shape = pickOne(
        [tensor.shape.toReversed(), [size], [size, 1], [1, ...tensor.shape]],
        draw,
      )
      return [name, { ...tensor, shape } as Tensor]
    })
    const module = key.replace(/\.(lora_[ab]|m)$/, '')
    // a vector is the same the other way round; 'lora_A' and the model's names in PEFT's form
    return {
      files,
      change: key,
      mustName: [key, module, 'lora_A', 'lora_B', 'lora_magnitude'],
      isHarmless: key.endsWith('.m'),
    }
  },
  'tensors: another element type'(sound, draw) {
    const { files, key } = changeTensor(sound, draw, (tensor, name) => {
      const dtype = pickOne(['f16', 'bf16'] as const, draw)
      return [
        name,
        {
          dtype,
          shape: tensor.shape,
          data: fromFloat32(tensor.data as Float32Array, dtype),
        } as Tensor,
      ]
    })
    return { files, change: key, mustName: [key], isHarmless: true }
  },
  'tensors: NaN or infinity'(sound, draw) {
    const { files, key } = changeTensor(sound, draw, (tensor, name) => {
      const data = Float32Array.from(tensor.data as Float32Array)
      data[draw.integer(data.length)] = pickOne([NaN, Infinity, -Infinity], draw)
      return [name, { ...tensor, data } as Tensor]
    })
    return {
      files,
      change: key,
      mustName: [key, 'lora_A', 'lora_B', 'lora_magnitude'],
      isHarmless: false,
    }
  },
  'tensors: other names'(sound, draw) {
    const rename = pickOne(
      [
        (key: string) => `_orig_mod.${key}`,
        (key: string) => key.toUpperCase(),
        (key: string) => `${key}.weight`,
        (key: string) => key.replace('lora_', 'lora_x'),
      ],
      draw,
    )
    let name = ''
    const { files, key } = changeTensor(sound, draw, (tensor, from) => [
      (name = rename(from)),
      tensor,
    ])
    return {
      files,
      change: name,
      mustName: [name, key],
      isHarmless: name === key || name.startsWith('_orig'),
    }
  },
}

const fileMutations: Readonly<Record<string, Mutate>> = {
  'files: another in place of the tensors'(sound, draw) {
    const page = pickOne(pages, draw)
    const files = sound.write(sound)
    const [name] = files.keys()
    return {
      files: files.set(name!, encode(page)),
      change: page.slice(0, 40),
      mustName: [name!],
      isHarmless: false,
    }
  },
  'files: tensors cut short or longer'(sound, draw) {
    const files = sound.write(sound)
    const [name, bytes] = [...files][0]!
    const length = draw.integer(bytes.length)
    return {
      files: files.set(name, bytes.slice(0, length)),
      change: `${length} bytes`,
      mustName: [name],
      isHarmless: false,
    }
  },
  'files: one is missing'(sound) {
    const files = sound.write(sound)
    const [name] = files.keys()
    files.delete(name!)
    return { files, change: name!, mustName: [name!], isHarmless: false }
  },
  'files: a byte of the header differs'(sound, draw) {
    const files = sound.write(sound)
    const [name, whole] = [...files][0]!
    const bytes = whole.slice()
    const at = draw.integer(sound.metadata.size > 0 ? 180 : 200)
    bytes[at]! ^= 1 << draw.integer(8)
    const mustName = [name, ...sound.tensors.keys(), ...sound.metadata.keys(), 'adapter', 'lora']
    return { files: files.set(name, bytes), change: `byte ${at}`, mustName, isHarmless: true }
  },
}

const mutations = { ...settingMutations, ...tensorMutations, ...fileMutations }

/** Odd adapters of mlx-lm and llama.cpp, the same each time. */
export function createOddForeign(sound: readonly Foreign[], count = 300, seed = 12): OddForeign[] {
  const draw = random(seed)
  const names = Object.entries(mutations)
  return Array.from({ length: count }, (_, number) => {
    const one = sound[number % sound.length]!
    const [mutation, mutate] = names[Math.floor(number / sound.length) % names.length]!
    const change = mutate(one, draw)
    return Object.assign({ number, kind: one.kind, mutation, soundFiles: one.write(one) }, change)
  })
}

// Writes a base model as a folder in the Hugging Face layout: weights tensor by tensor, config.json
// last, so that a folder with it is complete. Independent of the platform and of where the weights
// come from.

import { countBytes, type PlainType } from '../base/dtype.ts'
import { UnsupportedError } from '../base/errors.ts'
import { viewBytes, sizeOf } from '../base/tensor.ts'
import type { ByteFolder, ByteSink } from '../formats/byte-source.ts'
import { encodeAsDtype } from '../formats/encode-dtype.ts'
import type { GgufFile } from '../formats/gguf/types.ts'
import { readGgufConfig } from '../formats/gguf/config.ts'
import { convertGgufTokenizer } from '../formats/gguf/tokenizer.ts'
import { encodeSafetensorsHeader } from '../formats/safetensors/writer.ts'
import type { TensorInfo, TensorStore } from '../formats/tensor-store.ts'
import { toFiniteFloat32 } from './read-weights.ts'

export type FloatChoice = 'f32' | 'f16' | 'bf16'

type JsonObject = Readonly<Record<string, unknown>>

/** The files of a model folder in addition to its weights. */
export interface FolderText {
  /** config.json */
  readonly config: JsonObject
  /** Tokenizer, chat template and the like by file name, as they are to be written. */
  readonly files: ReadonlyMap<string, Uint8Array>
}

/**
 * Tokenizer and template files of a model folder. A folder cannot be listed, so they are opened by
 * name.
 */
const textFiles = [
  ...[
    'tokenizer.json',
    'tokenizer_config.json',
    'special_tokens_map.json',
    'added_tokens.json',
    'vocab.json',
    'merges.txt',
  ],
  ...[
    'tokenizer.model',
    'chat_template.jinja',
    'additional_chat_templates/tool_use.jinja',
    'chat_template.json',
    'generation_config.json',
  ],
]

const encodeJson = (value: unknown): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)

/** From a folder in the Hugging Face layout: the files as they are. `config` is its config.json. */
export async function readFolderText(folder: ByteFolder, config: JsonObject): Promise<FolderText> {
  const files = new Map<string, Uint8Array>()
  for (const name of textFiles) {
    const source = await folder.open(name)
    if (!source) continue
    try {
      files.set(name, (await source.read(0, source.sizeBytes)).slice())
    } finally {
      await source.close?.()
    }
  }
  return { config, files }
}

/** From a GGUF file: config and tokenizer out of its metadata. */
export async function readGgufText(file: GgufFile): Promise<FolderText> {
  const config = await readGgufConfig(file)
  if (!file.metadata.has('tokenizer.ggml.model')) return { config, files: new Map() }
  const { tokenizerJson, tokenizerConfig } = convertGgufTokenizer(file.metadata)
  const files = Object.entries({
    'tokenizer.json': tokenizerJson,
    'tokenizer_config.json': tokenizerConfig,
  })
  return { config, files: new Map(files.map(([name, value]) => [name, encodeJson(value)])) }
}

export interface FolderOptions {
  /** The element type of every tensor. Default: each tensor keeps its type. */
  readonly dtype?: FloatChoice | undefined
  /** Called before each tensor is read. */
  readonly onTensor?: (name: string, done: number, count: number) => void
}

const torchNames: Partial<Record<PlainType, string>> = {
  f32: 'float32',
  f16: 'float16',
  bf16: 'bfloat16',
}

/**
 * Writes model.safetensors, the text files and config.json, in this order; one tensor is in memory
 * at a time. Returns the bytes of the weights. Throws NumericError for a weight that is NaN or
 * infinite or does not fit the type, UnsupportedError if blocks would have to keep their type.
 */
export async function writeHuggingFaceFolder(
  sink: ByteSink,
  { config, files }: FolderText,
  weights: TensorStore,
  { dtype, onTensor = () => undefined }: FolderOptions = {},
): Promise<{ tensors: number; sizeBytes: number }> {
  const heads = new Map(
    [...weights.tensors].map(([name, info]) => [
      name,
      { shape: info.shape, dtype: dtype ?? getFloatType(name, info) },
    ]),
  )
  await sink.write('model.safetensors', encodeChunks(weights, heads, onTensor))
  for (const [name, bytes] of files) await sink.write(name, [bytes])
  const written = dtype && torchNames[dtype]
  // transformers writes `dtype` since version 5 and `torch_dtype` before; if both are present, they
  // must agree.
  const { torch_dtype: _old, ...others } = config
  await sink.write('config.json', [encodeJson(written ? { ...others, dtype: written } : config)])
  const sizeBytes = [...heads.values()].reduce(
    (sum, head) => sum + countBytes(head.dtype, sizeOf(head.shape)),
    0,
  )
  return { tensors: heads.size, sizeBytes }
}

function getFloatType(name: string, { dtype }: TensorInfo): PlainType {
  if (dtype === 'f32' || dtype === 'f16' || dtype === 'bf16') return dtype
  throw new UnsupportedError(
    `${name}: ${dtype} cannot be kept in a model folder; choose f32, f16 or bf16 for all tensors.`,
  )
}

async function* encodeChunks(
  weights: TensorStore,
  heads: ReadonlyMap<string, { readonly dtype: PlainType; readonly shape: readonly number[] }>,
  onTensor: NonNullable<FolderOptions['onTensor']>,
): AsyncGenerator<Uint8Array> {
  const { bytes, order } = encodeSafetensorsHeader(heads, { format: 'pt' })
  yield bytes
  for (const [i, name] of order.entries()) {
    onTensor(name, i, order.length)
    const tensor = await weights.read(name)
    const values = toFiniteFloat32(name, tensor)
    const { dtype } = heads.get(name)!
    yield viewBytes(tensor.dtype === dtype ? tensor : encodeAsDtype(name, values, dtype))
  }
}

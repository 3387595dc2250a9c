// Opens a sentence encoder in the Hugging Face layout: a model that encodes a text as one vector
// and generates no text. Independent of the platform: bytes arrive through ByteFolder.

import {
  FormatError,
  type Mismatch,
  MismatchError,
  NotFoundError,
  UnsupportedError,
} from '../../base/errors.ts'
import { isRecord } from '../../base/schema.ts'
import { computeSha256, toHex } from '../../base/sha256.ts'
import { joinBytes } from '../../base/concat.ts'
import { type F32Tensor, viewBytes } from '../../base/tensor.ts'
import type { ByteFolder } from '../../formats/byte-source.ts'
import { openSharded } from '../../formats/safetensors/sharded.ts'
import type { TensorStore } from '../../formats/tensor-store.ts'
import { createTokenizer, type Tokenizer } from '../../formats/text/tokenizer.ts'
import { describeShape, type Graph } from '../ir.ts'
import type { JsonObject } from '../models/read-config.ts'
import { toFiniteFloat32 } from '../read-weights.ts'
import { type BertConfig, buildBertGraph, readBertConfig } from './bert.ts'

/** `model_type` of the encoders that can be opened. */
export const encoderTypes: readonly string[] = ['bert']

export interface Encoder {
  readonly name: string
  readonly config: BertConfig
  readonly graph: Graph
  readonly tokenizer: Tokenizer
  /** By the names of the graph's inputs. */
  readonly weights: ReadonlyMap<string, F32Tensor>
  /** Of config and weights. */
  readonly sha256: string
}

/**
 * Throws NotFoundError where a file is missing, UnsupportedError for another architecture,
 * FormatError for broken files, one MismatchError with every tensor that is missing or of a wrong
 * shape.
 */
export async function openEncoder(folder: ByteFolder): Promise<Encoder> {
  const json = await readObject(folder, 'config.json')
  const type = json['model_type']
  if (typeof type !== 'string' || !encoderTypes.includes(type))
    throw new UnsupportedError(
      `${folder.name}: is no sentence encoder: "model_type" is ${JSON.stringify(type)}, expected ${encoderTypes.join(', ')}.`,
    )
  const config = readBertConfig(json)
  const graph = buildBertGraph(config)
  const tokenizer = createTokenizer(
    await readObject(folder, 'tokenizer.json'),
    await readObject(folder, 'tokenizer_config.json'),
  )
  const store = await openSharded(folder)
  try {
    const weights = await readWeights(folder.name, graph, store)
    return {
      name: folder.name,
      config,
      graph,
      tokenizer,
      weights,
      sha256: await hash(config, weights),
    }
  } finally {
    await store.close()
  }
}

/** Weights by the graph's names; files of a model with heads have the prefix "bert.". */
async function readWeights(
  name: string,
  graph: Graph,
  store: TensorStore,
): Promise<Map<string, F32Tensor>> {
  const wanted = graph.inputs.filter(({ role }) => role === 'weight')
  const prefix = store.tensors.has(wanted[0]!.name) ? '' : 'bert.'
  const mismatches = wanted.flatMap((input): Mismatch[] => {
    const got = store.tensors.get(`${prefix}${input.name}`)
    const expected = describeShape(input.shape)
    const shape = got ? describeShape(got.shape) : 'no such tensor'
    return shape === expected ? [] : [{ name: input.name, got: shape, expected }]
  })
  if (mismatches.length > 0)
    throw new MismatchError(
      `Encoder "${name}": the weights do not fit its config`,
      mismatches,
      'Do config.json and the weights belong together, and is the file complete?',
    )
  const weights = new Map<string, F32Tensor>()
  for (const { name: own } of wanted)
    weights.set(own, toFiniteFloat32(own, await store.read(`${prefix}${own}`)))
  return weights
}

async function hash(config: BertConfig, weights: ReadonlyMap<string, F32Tensor>): Promise<string> {
  const parts = [await computeSha256(new TextEncoder().encode(JSON.stringify(config)))]
  for (const [name, tensor] of weights)
    parts.push(await computeSha256(joinBytes([new TextEncoder().encode(name), viewBytes(tensor)])))
  return toHex(await computeSha256(joinBytes(parts)))
}

async function readObject(folder: ByteFolder, path: string): Promise<JsonObject> {
  const source = await folder.open(path)
  if (!source) throw new NotFoundError(`${folder.name}: is no encoder: there is no ${path}.`)
  try {
    const text = new TextDecoder().decode(await source.read(0, source.sizeBytes))
    const value: unknown = JSON.parse(text)
    if (isRecord(value)) return value
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause
    throw new FormatError(`${folder.name}: ${path} is not JSON.`, { cause })
  } finally {
    await source.close?.()
  }
  throw new FormatError(`${folder.name}: ${path} contains no JSON object.`)
}

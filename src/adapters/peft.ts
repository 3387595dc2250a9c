// PEFT's adapter folders, both ways: adapter_config.json and adapter_model.safetensors. What was loaded is saved under the same keys.

import { FormatError, NotFoundError, UnsupportedError } from '../base/errors.ts'
import type { Tensor } from '../base/tensor.ts'
import type { ByteFolder, ByteSink, ByteSource } from '../formats/byte-source.ts'
import { memorySource } from '../formats/memory-source.ts'
import { openSafetensors } from '../formats/safetensors.ts'
import { safetensorsChunks } from '../formats/safetensors-writer.ts'
import type { Adapter } from './adapter.ts'
import { isRecord } from './fields.ts'
import type { PeftJson } from './kind.ts'
import { kindNamed, kindOfPeft } from './kinds.ts'

const configFile = 'adapter_config.json'
const tensorFile = 'adapter_model.safetensors'
const torchFile = 'adapter_model.bin'

/**
 * Reads an adapter as PEFT saves it; tensors keep their element types. Throws NotFoundError for a missing file, FormatError for a corrupt one,
 * UnsupportedError for another kind, for settings that are not supported, and for weights in torch's own format.
 */
export async function loadAdapter(folder: ByteFolder): Promise<Adapter> {
  const json = await readAdapterConfig(folder)
  if (isMlxConfig(json))
    throw new UnsupportedError(`${folder.name}: is an adapter of mlx-lm; read it with loadMlxAdapter, which needs the model.`)
  const kind = kindOfPeft(json, `${folder.name}/${configFile}`)
  const config = kind.readConfig(json, `${folder.name}/${configFile}`)
  const tensors = await readAdapterTensors(folder)
  const baseModel = json['base_model_name_or_path']
  return { kind: kind.name, config, tensors, ...(typeof baseModel === 'string' ? { baseModel } : {}) }
}

/** Whether a configuration is mlx-lm's. */
export const isMlxConfig = (json: PeftJson): boolean => !('peft_type' in json) && isRecord(json['lora_parameters'])

/** The folder's adapter_config.json. */
export async function readAdapterConfig(folder: ByteFolder): Promise<PeftJson> {
  const source = await folder.open(configFile)
  if (!source) throw new NotFoundError(`${folder.name}: has no ${configFile}; an adapter is a folder as PEFT saves it.`)
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await source.read(0, source.sizeBytes)))
  } catch (cause) {
    throw new FormatError(`${source.name}: is not JSON.`, { cause })
  } finally {
    await source.close?.()
  }
  if (!isRecord(json)) throw new FormatError(`${source.name}: is not a JSON object.`)
  return json
}

/** All tensors of a file of the folder, in the types they have there. */
export async function readAdapterTensors(folder: ByteFolder, fileName = tensorFile): Promise<Map<string, Tensor>> {
  const source = await folder.open(fileName)
  if (!source) {
    const torch = await folder.open(torchFile)
    await torch?.close?.()
    if (!torch) throw new NotFoundError(`${folder.name}: has no ${fileName}.`)
    throw new UnsupportedError(
      `${folder.name}: its weights are in ${torchFile}, which only torch can read safely. Convert it in Python: ` +
        `from safetensors.torch import save_file; import torch; save_file(torch.load("${torchFile}", weights_only=True), "${tensorFile}")`,
    )
  }
  const store = await openSafetensors(await inOneRead(source))
  try {
    const tensors = new Map<string, Tensor>()
    for (const name of store.tensors.keys()) tensors.set(name, await store.read(name))
    return tensors
  } finally {
    await store.close()
  }
}

const largestRead = 1 << 28 // bytes; a larger file, such as one with whole embeddings, is read tensor by tensor

/** The file's content read at once: hundreds of small tensors one by one take several times as long. */
async function inOneRead(source: ByteSource): Promise<ByteSource> {
  if (source.sizeBytes > largestRead) return source
  try {
    return memorySource(source.name, await source.read(0, source.sizeBytes))
  } finally {
    await source.close?.()
  }
}

/** Writes an adapter as PEFT does. Both files are complete or absent, the configuration last: a folder that has one is whole. */
export async function saveAdapter(made: Adapter, sink: ByteSink): Promise<void> {
  const adapter = savedForm(made)
  const chunks = safetensorsChunks(adapter.tensors, { format: 'pt' })
  await sink.write(tensorFile, chunks)
  await sink.write(configFile, [new TextEncoder().encode(configText(adapter))])
}

/** The adapter as its files hold it: a PiSSA or OLoRA becomes a plain LoRA. */
export function savedForm(adapter: Adapter): Adapter {
  const saved = kindNamed(adapter.kind).savedAs?.(adapter.config, adapter.tensors)
  return saved ? { ...adapter, ...saved } : adapter
}

/** adapter_config.json: keys sorted, two spaces, as PEFT writes it. */
export function configText({ kind, config, baseModel }: Adapter): string {
  const row = kindNamed(kind)
  const json: PeftJson = {
    inference_mode: true,
    ...row.writeConfig(config),
    peft_type: row.peftType,
    ...(baseModel === undefined ? {} : { base_model_name_or_path: baseModel }),
  }
  const keys = Object.keys(json).sort()
  return JSON.stringify(Object.fromEntries(keys.map((key) => [key, json[key]])), null, 2)
}

// A base model written out as a Hugging Face folder in f32, for references that read nothing else.

import { toFloat32 } from '../../formats/convert.ts'
import { openGguf } from '../../formats/gguf.ts'
import { readGgufConfig } from '../../formats/gguf-config.ts'
import { ggufTokenizer } from '../../formats/gguf-tokenizer.ts'
import { safetensorsChunks } from '../../formats/safetensors-writer.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import type { ByteSource } from '../../formats/byte-source.ts'
import { ggufAsHuggingFace } from '../../formats/gguf-names.ts'
import { fileSink } from '../../node/file-sink.ts'

const json = (value: unknown): Uint8Array[] => [new TextEncoder().encode(JSON.stringify(value))]

/** Writes config.json, tokenizer.json, tokenizer_config.json and model.safetensors. */
export async function huggingFaceCopy(gguf: ByteSource, folder: string): Promise<void> {
  const sink = fileSink(folder)
  const file = await openGguf(gguf)
  const { tokenizerJson, tokenizerConfig } = ggufTokenizer(file.metadata)
  await sink.write('config.json', json(await readGgufConfig(file)))
  await sink.write('tokenizer.json', json(tokenizerJson))
  await sink.write('tokenizer_config.json', json(tokenizerConfig))
  const store = ggufAsHuggingFace(file)
  const tensors = new Map<string, Tensor>()
  for (const [name, { shape }] of store.tensors) tensors.set(name, f32(shape, toFloat32(await store.read(name))))
  await sink.write('model.safetensors', safetensorsChunks(tensors, { format: 'pt' }))
}

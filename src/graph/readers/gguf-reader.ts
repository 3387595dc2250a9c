// A base model as one GGUF file: config, tensors, tokenizer and chat template come from its
// metadata.

import type { ByteSource } from '../../formats/byte-source.ts'
import { readGgufConfig } from '../../formats/gguf/config.ts'
import { toHuggingFaceStore } from '../../formats/gguf/names.ts'
import { openGguf } from '../../formats/gguf/reader.ts'
import { convertGgufTokenizer } from '../../formats/gguf/tokenizer.ts'
import { findChatTemplate } from '../../formats/text/chat-template.ts'
import { createTokenizer } from '../../formats/text/tokenizer.ts'
import type { BaseModelReader } from './base-model-reader.ts'

export const ggufReader: BaseModelReader<ByteSource> = {
  async read(source) {
    const file = await openGguf(source)
    try {
      const config = await readGgufConfig(file)
      const weights = toHuggingFaceStore(file)
      if (!file.metadata.has('tokenizer.ggml.model')) return { config, weights }
      const { tokenizerJson, tokenizerConfig } = convertGgufTokenizer(file.metadata)
      const tokenizer = createTokenizer(tokenizerJson, tokenizerConfig)
      return { config, weights, tokenizer, chatTemplate: findChatTemplate(tokenizerConfig) }
    } catch (error) {
      await file.close()
      throw error
    }
  },
}

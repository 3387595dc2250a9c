// Token ids and chats of the real model's GGUF, compared with transformers
// (test/parity/make_smollm2.py).

import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  type ChatMessage,
  findChatTemplate,
  renderChat,
} from '../src/formats/text/chat-template.ts'
import { readGgufConfig } from '../src/formats/gguf/config.ts'
import { convertGgufTokenizer, type TokenizerFiles } from '../src/formats/gguf/tokenizer.ts'
import { openGguf } from '../src/formats/gguf/reader.ts'
import type { GgufFile } from '../src/formats/gguf/types.ts'
import { createTextStream } from '../src/formats/text/text-stream.ts'
import { createTokenizer, type Tokenizer } from '../src/formats/text/tokenizer.ts'
import { smollm2Q4 } from './smollm2.ts'

interface Reference {
  tokenize: { text: string; ids: number[]; decoded: string }[]
  chat: { messages: ChatMessage[]; add_generation_prompt: boolean; text: string }[]
}
interface GenerationCase {
  prompt: string
  prompt_ids: number[]
  greedy_32: number[]
  greedy_text: string
}

const read = <T>(path: string): T =>
  JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as T
const reference = read<Reference>('./parity/smollm2/text.json')
const generated = read<GenerationCase[]>('./parity/smollm2/base/cases.json')

let missing: string | undefined
let file: GgufFile
let files: TokenizerFiles
let tokenizer: Tokenizer

beforeAll(async () => {
  const model = await smollm2Q4()
  if ('reason' in model) return void (missing = model.reason)
  file = await openGguf(model.gguf)
  files = convertGgufTokenizer(file.metadata)
  tokenizer = createTokenizer(files.tokenizerJson, files.tokenizerConfig)
}, 330_000)
afterAll(() => file?.close())
beforeEach((context) => {
  if (missing !== undefined) context.skip(missing)
})

describe('SmolLM2-135M-Instruct from its GGUF', () => {
  it.each(reference.tokenize)('has the same token ids for $text', ({ text, ids, decoded }) => {
    expect(tokenizer.encode(text)).toEqual(ids)
    expect(tokenizer.decode(ids)).toBe(decoded)
    const stream = createTextStream(tokenizer)
    expect([...ids.map((id) => stream.push(id)), stream.end()].join('')).toBe(decoded)
  })

  it.each(generated)(
    'has the same token ids for the prompt and text for the answer: $greedy_text',
    (item) => {
      expect(tokenizer.encode(item.prompt)).toEqual(item.prompt_ids)
      expect(tokenizer.decode(item.greedy_32)).toBe(item.greedy_text)
    },
  )

  it.each(reference.chat)(
    'renders the same chat: $text',
    ({ messages, add_generation_prompt, text }) => {
      const { bos_token, eos_token } = files.tokenizerConfig as {
        bos_token: string
        eos_token: string
      }
      const options = {
        addGenerationPrompt: add_generation_prompt,
        bosToken: bos_token,
        eosToken: eos_token,
      }
      expect(renderChat(findChatTemplate(files.tokenizerConfig), messages, options)).toBe(text)
    },
  )

  it('has the config.json of the original', async () => {
    expect(await readGgufConfig(file)).toMatchObject({
      model_type: 'llama',
      hidden_size: 576,
      intermediate_size: 1536,
      num_hidden_layers: 30,
      num_attention_heads: 9,
      num_key_value_heads: 3,
      head_dim: 64,
      rms_norm_eps: 1e-5,
      vocab_size: 49_152,
      max_position_embeddings: 8192,
      tie_word_embeddings: true,
      bos_token_id: 1,
      eos_token_id: 2,
      rope_parameters: { rope_type: 'default', rope_theta: 100_000 },
    })
  })
})

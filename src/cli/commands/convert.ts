// graft convert: writes a model as a Hugging Face folder, or an adapter with another element type,
// or in another tool's format.

import { integer, oneOf, withInfo } from '../../base/schema.ts'
import { OptionError } from '../../base/errors.ts'
import { checkAbsent } from '../../node/files/atomic-write.ts'
import { defineCommand } from '../command.ts'
import type { FloatChoice } from '../../graph/hugging-face-folder.ts'
import { modelOptions } from '../shared/open-model.ts'

const floats: readonly string[] = ['f32', 'f16', 'bf16'] satisfies readonly FloatChoice[]

export const convertCommand = defineCommand({
  name: 'convert',
  summary:
    'convert a GGUF model to a safetensors folder, or an adapter to fewer bits or another format',
  usage: '<from> <to>',
  positionals: [2, 2],
  options: {
    dtype: oneOf([...floats, 'int8', 'int4'], {
      default: 'f32',
      about: 'element type of what is written; int8 and int4 are for adapters',
    }),
    model: withInfo(modelOptions.model, {
      about:
        'of an adapter: its base, to measure how far answers moved; files of llama.cpp and mlx-lm need it',
    }),
    threads: modelOptions.threads,
    prompts: integer({ from: 0, default: 20, about: 'prompts to measure on; 0: none' }),
  },
  examples: [
    {
      command: 'graft convert model.gguf model-folder --dtype bf16',
      about: 'for tools that read the Hugging Face layout; quantised weights are unpacked',
    },
    {
      command: 'graft convert my-expert small --dtype int4 --model smollm2-135m-instruct',
      about: 'an adapter at a seventh of the size, with the measured loss',
    },
    {
      command: 'graft convert my-expert my-expert.gguf --model base.gguf',
      about: 'a LoRA for llama.cpp; the reverse works too',
    },
  ],
  async run({ positionals: [from, to], values, terminal, commandLine: command }) {
    await checkAbsent(to!)
    const found = await (await import('../inspect/inspect-sources.ts')).findAdapter(from!)
    if (found)
      return (await import('../convert/convert-adapter.ts')).convertAdapter(
        found.path,
        found.format,
        to!,
        Object.assign({}, values, { command }),
        terminal,
      )
    if (!floats.includes(values.dtype))
      throw new OptionError(
        `--dtype ${values.dtype}: a model is written in ${floats.join(', ')}; 8 and 4 bits are for adapters.`,
      )
    const { convertModel } = await import('../convert/convert-model.ts')
    return convertModel(from!, to!, values.dtype as FloatChoice, terminal)
  },
})

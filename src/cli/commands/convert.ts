// graft convert: a model into a Hugging Face folder, or an adapter into another element type.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { OptionError } from '../../base/errors.ts'
import { defineCommand } from '../command.ts'
import type { FloatChoice } from '../../graph/hugging-face-folder.ts'

const dtypes = ['f32', 'f16', 'bf16'] as const satisfies readonly FloatChoice[]

export const convert = defineCommand({
  name: 'convert',
  summary: 'a GGUF model into a safetensors folder, or an adapter into another float type',
  usage: '<from> <to>',
  words: [2, 2],
  options: {
    dtype: { type: 'text', default: 'f32', choices: dtypes, about: 'element type of what is written; bf16 halves the size' },
  },
  examples: [
    {
      command: 'graft convert model.gguf model-folder --dtype bf16',
      about: 'for tools that read the Hugging Face layout; quantised weights are unpacked',
    },
    { command: 'graft convert my-expert my-expert-f16 --dtype f16', about: 'an adapter at half the size' },
  ],
  async run({ words: [from, to], values, terminal }) {
    if (await stat(to!).catch(() => undefined)) throw new OptionError(`${to}: exists already. Choose a folder that does not exist yet.`)
    const dtype = values.dtype as FloatChoice
    const isAdapter = (await stat(join(from!, 'adapter_config.json')).catch(() => undefined))?.isFile() === true
    const { convertAdapter, convertModel } = await import('../convert-files.ts')
    return (isAdapter ? convertAdapter : convertModel)(from!, to!, dtype, terminal)
  },
})

// Writes a model as a Hugging Face folder, one tensor at a time.

import { UnsupportedError } from '../../base/errors.ts'
import type { FloatChoice } from '../../graph/hugging-face-folder.ts'
import { writeHuggingFaceCopy } from '../../node/models/hugging-face-copy.ts'
import { resolveModel } from '../../node/models/resolve.ts'
import { formatBytes } from '../ui/format.ts'
import type { Progress } from '../ui/progress.ts'
import type { Terminal } from '../ui/terminal.ts'

/**
 * A GGUF file as a folder with config.json, tokenizer and model.safetensors, config.json last: a
 * folder that has one is whole.
 */
export async function convertModel(
  from: string,
  to: string,
  dtype: FloatChoice,
  terminal: Terminal,
) {
  const resolved = await resolveModel(from)
  if (!('gguf' in resolved))
    throw new UnsupportedError(
      `${from}: is already a folder in the Hugging Face layout; only GGUF files are converted.`,
    )
  let progress: Progress | undefined
  const { tensors, sizeBytes } = await writeHuggingFaceCopy(
    resolved.gguf,
    to,
    dtype,
    (name, done, total) => {
      progress ??= terminal.progress('writing', total)
      progress.update(done, name)
    },
  )
  progress?.end()
  terminal.print(`${to}: ${tensors} tensors in ${dtype}, ${formatBytes(sizeBytes)}`)
  return { type: 'model', from, to, dtype, tensors, sizeBytes }
}

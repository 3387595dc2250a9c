// Writes a GGUF model as a folder in the Hugging Face layout, for `graft convert` and for
// references that read only that layout.

import type { ByteSource } from '../../formats/byte-source.ts'
import { openGguf } from '../../formats/gguf/reader.ts'
import { toHuggingFaceStore } from '../../formats/gguf/names.ts'
import {
  type FloatChoice,
  type FolderOptions,
  readGgufText,
  writeHuggingFaceFolder,
} from '../../graph/hugging-face-folder.ts'
import { createFileSink } from '../files/file-sink.ts'
import { writeAtomically } from '../files/atomic-write.ts'

/**
 * Writes the folder, which must not exist yet, and closes the source. Throws UnsupportedError,
 * NumericError, StorageError; then there is no folder.
 */
export async function writeHuggingFaceCopy(
  gguf: ByteSource,
  folder: string,
  dtype: FloatChoice,
  onTensor?: FolderOptions['onTensor'],
): Promise<{ tensors: number; sizeBytes: number }> {
  const file = await openGguf(gguf)
  try {
    const text = await readGgufText(file)
    const weights = toHuggingFaceStore(file)
    return await writeAtomically(folder, (place) =>
      writeHuggingFaceFolder(createFileSink(place), text, weights, {
        dtype,
        ...(onTensor && { onTensor }),
      }),
    )
  } finally {
    await file.close()
  }
}

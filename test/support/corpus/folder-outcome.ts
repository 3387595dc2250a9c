// What becomes of an odd adapter folder: used (as another adapter, or as the same where the change
// means nothing), or refused by name; or one of the faults. Compares what is understood of it with
// what is understood of the sound folder.

import { GraftError } from '../../../src/base/errors.ts'
import { type Adapter, checkAdapter, checkFinite } from '../../../src/adapters/adapter.ts'
import { attach } from '../../../src/adapters/attach.ts'
import { loadAdapter } from '../../../src/adapters/files/peft.ts'
import type { ByteFolder } from '../../../src/formats/byte-source.ts'
import { toFloat32 } from '../../../src/formats/convert.ts'
import { createMemorySource } from '../../../src/formats/memory-source.ts'
import type { Base } from '../adapters.ts'
import type { OddFolder } from './odd-folders.ts'
import type { Judgement } from './row-outcome.ts'

const openFiles = (files: ReadonlyMap<string, Uint8Array>): ByteFolder => ({
  name: 'odd-folder',
  async open(path) {
    const bytes = files.get(path)
    return bytes && createMemorySource(`odd-folder/${path}`, bytes)
  },
})

/** Everything that is computed with: the settings without the file's own copy, and the tensors. */
function describeAdapter({ kind, config, tensors }: Adapter): string {
  const { peft: _, ...used } = config
  const values = [...tensors].sort(([a], [b]) => (a < b ? -1 : 1))
  const sums = values.map(([key, tensor]) => {
    const norm = Math.hypot(...toFloat32(tensor))
    return `${key} [${tensor.shape.join()}] ${norm.toPrecision(2)}`
  })
  return [kind, JSON.stringify(used), ...sums].join('\n')
}

/** The adapter of a folder, checked as before it is served. */
export async function readFolder(
  { files }: Pick<OddFolder, 'files'>,
  base: Base,
): Promise<Adapter> {
  const adapter = await loadAdapter(openFiles(files))
  checkFinite(adapter)
  checkAdapter(adapter, base.model, base.weightOf)
  attach(base.model, adapter)
  return adapter
}

/** Judges one odd folder on the base that its sound one was made for. */
export async function judgeFolder(
  odd: OddFolder,
  soundFiles: ReadonlyMap<string, Uint8Array>,
  base: Base,
): Promise<Judgement> {
  try {
    const adapter = await readFolder(odd, base)
    const details = describeAdapter(adapter)
    const isSame = details === describeAdapter(await readFolder({ files: soundFiles }, base))
    return { outcome: isSame && !odd.isHarmless ? 'silent' : 'used', details }
  } catch (error) {
    if (!GraftError.isInstance(error))
      return { outcome: 'crash', details: String((error as Error).stack ?? error) }
    const isNamed = odd.mustName.some((name) => error.message.includes(name))
    return { outcome: isNamed ? 'refused by name' : 'unclear error', details: error.message }
  }
}

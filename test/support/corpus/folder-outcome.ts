// What becomes of an odd adapter folder: used (as another adapter, or as the same where the change
// means nothing), or refused by name; or one of the faults. Compares what is understood of it with
// what is understood of the sound folder.

import { GraftError, NotFoundError } from '../../../src/base/errors.ts'
import { type Adapter, checkAdapter, checkFinite } from '../../../src/adapters/adapter.ts'
import { attach } from '../../../src/adapters/attach.ts'
import { loadGgufAdapter } from '../../../src/adapters/files/gguf.ts'
import { loadMlxAdapter } from '../../../src/adapters/files/mlx.ts'
import { loadAdapter } from '../../../src/adapters/files/peft.ts'
import type { ByteFolder } from '../../../src/formats/byte-source.ts'
import { toFloat32 } from '../../../src/formats/convert.ts'
import { createMemorySource } from '../../../src/formats/memory-source.ts'
import type { Base } from '../adapters.ts'
import { ggufFile, mlxConfigFile } from './foreign-files.ts'
import type { Judgement } from './row-outcome.ts'

export const openFiles = (files: ReadonlyMap<string, Uint8Array>): ByteFolder => ({
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
    return `${key} [${tensor.shape.join()}] ${norm.toPrecision(6)}`
  })
  return [kind, JSON.stringify(used), ...sums].join('\n')
}

type Files = ReadonlyMap<string, Uint8Array>

/** Reads and checks as before an adapter is served. */
function checkBeforeServing(adapter: Adapter, base: Base): Adapter {
  checkFinite(adapter)
  checkAdapter(adapter, base.model, base.weightOf)
  attach(base.model, adapter)
  return adapter
}

/** The adapter of a PEFT folder. */
export const readFolder = async ({ files }: { readonly files: Files }, base: Base) =>
  checkBeforeServing(await loadAdapter(openFiles(files)), base)

/** The adapter of mlx-lm or llama.cpp. */
export async function readForeign({ files }: { readonly files: Files }, base: Base) {
  const gguf = openFiles(files)
  const source = files.has(mlxConfigFile) ? undefined : await gguf.open(ggufFile)
  if (!source && !files.has(mlxConfigFile)) throw new NotFoundError(`${ggufFile}: is not there.`)
  const adapter = source
    ? await loadGgufAdapter(source, base.model)
    : await loadMlxAdapter(gguf, base.model)
  return checkBeforeServing(adapter, base)
}

interface OddFiles {
  readonly files: Files
  readonly mustName: readonly string[]
  readonly isHarmless: boolean
}

/** Judges one odd folder on the base that its sound one was made for. */
export async function judgeFolder(
  odd: OddFiles,
  soundFiles: Files,
  base: Base,
  read: typeof readFolder = readFolder,
): Promise<Judgement> {
  try {
    const adapter = await read(odd, base)
    const details = describeAdapter(adapter)
    const isSame = details === describeAdapter(await read({ files: soundFiles }, base))
    return { outcome: isSame && !odd.isHarmless ? 'silent' : 'used', details }
  } catch (error) {
    if (!GraftError.isInstance(error))
      return { outcome: 'crash', details: String((error as Error).stack ?? error) }
    const isNamed = odd.mustName.some((name) => error.message.includes(name))
    return { outcome: isNamed ? 'refused by name' : 'unclear error', details: error.message }
  }
}

// Keeps what a study has computed in files of a folder, so that an interrupted run resumes. A file
// is written whole or not at all.

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { deserialize, serialize } from 'node:v8'

export interface ValueCache {
  /** The value of this name, computed if no file has it. */
  keep<T>(name: string, compute: () => Promise<T>): Promise<T>
}

export function createValueCache(folder: string): ValueCache {
  return {
    async keep<T>(name: string, compute: () => Promise<T>): Promise<T> {
      const path = join(folder, name)
      const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error
        return undefined
      })
      if (bytes) return deserialize(bytes) as T
      const value = await compute()
      await mkdir(folder, { recursive: true })
      await writeFile(`${path}.part`, serialize(value))
      await rename(`${path}.part`, path)
      return value
    },
  }
}

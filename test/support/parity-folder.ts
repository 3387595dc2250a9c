// A fixture's folder as bytes, by its URL: a file that it lacks has no source.
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { ByteFolder } from '../../src/formats/byte-source.ts'
import { createMemorySource } from '../../src/formats/memory-source.ts'

export const openFixtureFolder = (name: string, within: URL): ByteFolder => ({
  name,
  async open(path) {
    const file = new URL(`${name}/${path}`, within)
    return existsSync(file) ? createMemorySource(path, await readFile(file)) : undefined
  },
})

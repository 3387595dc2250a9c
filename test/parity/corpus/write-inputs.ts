// Writes the corpus for the reference scripts: the same rows, files and folders that the tests make.
// usage: node write-inputs.ts INPUTS_DIR

import { mkdirSync, writeFileSync, copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openBaseModel } from '../../../src/graph/index.ts'
import { createFileSink } from '../../../src/node/files/file-sink.ts'
import { resolveModel } from '../../../src/node/models/resolve.ts'
import { storiesBase } from '../../support/adapters.ts'
import { storiesGguf } from '../../support/stories-gguf.ts'
import { byteTokenizerJson } from '../../support/corpus/byte-tokenizer.ts'
import { createOddFiles } from '../../support/corpus/odd-files.ts'
import { createOddFolders, createSoundFolders } from '../../support/corpus/odd-folders.ts'
import { createForeign, createOddForeign } from '../../support/corpus/odd-foreign.ts'
import { createOddRows } from '../../support/corpus/odd-rows.ts'

const target = process.argv[2]!
mkdirSync(target, { recursive: true })
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

copyFileSync(here('template.jinja'), join(target, 'template.jinja'))
writeFileSync(join(target, 'tokenizer.json'), JSON.stringify(byteTokenizerJson))
writeFileSync(
  join(target, 'rows.jsonl'),
  createOddRows()
    .map(({ format, line }) => `${JSON.stringify({ format, line })}\n`)
    .join(''),
)

mkdirSync(join(target, 'files'), { recursive: true })
for (const { name, bytes } of createOddFiles()) writeFileSync(join(target, 'files', name), bytes)
writeFileSync(
  join(target, 'files.json'),
  JSON.stringify(createOddFiles().map(({ name, container }) => ({ name, container }))),
)

const opened = await openBaseModel(await resolveModel('stories260k'))
await createFileSink(target).write('stories.gguf', await storiesGguf(opened))
await opened.weights.close()

const base = await storiesBase()
for (const { number, files } of createOddFolders(await createSoundFolders(base))) {
  const folder = join(target, 'folders', String(number))
  mkdirSync(folder, { recursive: true })
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes)
}

for (const { number, kind, files } of createOddForeign(
  await createForeign(await createSoundFolders(base), base),
)) {
  const folder = join(target, 'foreign', String(number))
  mkdirSync(folder, { recursive: true })
  if (kind === 'llama.cpp LoRA') writeFileSync(join(folder, 'gguf'), '')
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes)
}

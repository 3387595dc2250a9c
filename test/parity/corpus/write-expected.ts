// Collects what the reference scripts wrote into expected.json.gz.
// usage: node write-expected.ts INPUTS_DIR   with rows.out.json, files.out.json, folders.out.json,
// mlx.out.json and llama.out.json in it

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { storiesBase } from '../../support/adapters.ts'
import { type FolderExpected, hashInput } from '../../support/corpus/compare.ts'
import { joinFolder } from '../../support/corpus/folder-reference.ts'
import { createOddFiles } from '../../support/corpus/odd-files.ts'
import { createOddFolders, createSoundFolders } from '../../support/corpus/odd-folders.ts'
import { createForeign, createOddForeign } from '../../support/corpus/odd-foreign.ts'
import { createOddRows } from '../../support/corpus/odd-rows.ts'

interface Output<Result> {
  readonly versions: Readonly<Record<string, string>>
  readonly results: readonly Result[]
}

const readOutput = <Result = string | null>(name: string): Output<Result> =>
  JSON.parse(readFileSync(join(process.argv[2]!, name), 'utf8')) as Output<Result>
const [rows, files] = [readOutput('rows.out.json'), readOutput('files.out.json')]
const folders = readOutput<FolderExpected>('folders.out.json')
const mlx = readOutput<FolderExpected | null>('mlx.out.json')
const llama = readOutput<FolderExpected | null>('llama.out.json')
const foreign = mlx.results.map((result, i) => result ?? llama.results[i]!)
const base = await storiesBase()
const sound = await createSoundFolders(base)
const oddFolders = createOddFolders(sound)
const oddForeign = createOddForeign(await createForeign(sound, base))
const pair = <Result>(inputs: readonly (string | Uint8Array)[], { results }: Output<Result>) =>
  inputs.map((input, i) => ({ input: hashInput(input), result: results[i]! }))
const expected = {
  versions: Object.assign(
    {},
    rows.versions,
    files.versions,
    folders.versions,
    mlx.versions,
    llama.versions,
  ),
  rows: pair(
    createOddRows().map(({ line }) => line),
    rows,
  ),
  files: pair(
    createOddFiles().map(({ bytes }) => bytes),
    files,
  ),
  folders: pair(oddFolders.map(joinFolder), folders),
  foreign: pair(oddForeign.map(joinFolder), { versions: {}, results: foreign }),
}
writeFileSync(
  new URL('expected.json.gz', import.meta.url),
  gzipSync(JSON.stringify(expected), { level: 9 }),
)

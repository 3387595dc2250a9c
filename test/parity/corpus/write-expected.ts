// Collects what the reference scripts wrote into expected.json.gz.
// usage: node write-expected.ts INPUTS_DIR   with rows.out.json and files.out.json in it

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { hashInput } from '../../support/corpus/compare.ts'
import { createOddFiles } from '../../support/corpus/odd-files.ts'
import { createOddRows } from '../../support/corpus/odd-rows.ts'

interface Output {
  readonly versions: Readonly<Record<string, string>>
  readonly results: readonly (string | null)[]
}

const readOutput = (name: string): Output =>
  JSON.parse(readFileSync(join(process.argv[2]!, name), 'utf8')) as Output
const [rows, files] = [readOutput('rows.out.json'), readOutput('files.out.json')]
const pair = (inputs: readonly (string | Uint8Array)[], { results }: Output) =>
  inputs.map((input, i) => ({ input: hashInput(input), result: results[i]! }))
const expected = {
  versions: Object.assign({}, rows.versions, files.versions),
  rows: pair(
    createOddRows().map(({ line }) => line),
    rows,
  ),
  files: pair(
    createOddFiles().map(({ bytes }) => bytes),
    files,
  ),
}
writeFileSync(
  new URL('expected.json.gz', import.meta.url),
  gzipSync(JSON.stringify(expected), { level: 9 }),
)

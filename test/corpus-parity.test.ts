// The corpus of odd inputs compared with the reference: what TRL tokenises and learns of a row, and
// what pandas, pyarrow and datasets read from a file, and what logits PEFT computes with a folder.
// Graft does the same or refuses by name; where it reads otherwise, a reason is listed. The table
// is that of docs/compatibility.md; GRAFT_UPDATE=1 writes it there.

import { describe, expect, it } from 'vitest'
import { storiesBase } from './support/adapters.ts'
import { createByteTokenizer } from './support/corpus/byte-tokenizer.ts'
import {
  type Comparison,
  compareReadings,
  type Expected,
  type FolderExpected,
  hashInput,
  readExpectations,
} from './support/corpus/compare.ts'
import { fileReasons, readFileAsReference } from './support/corpus/file-reference.ts'
import {
  compareFolder,
  joinFolder,
  readFolderAsReference,
} from './support/corpus/folder-reference.ts'
import { readFolder, readForeign } from './support/corpus/folder-outcome.ts'
import { createOddFiles } from './support/corpus/odd-files.ts'
import {
  createOddFolders,
  createSoundFolders,
  type OddFolder,
} from './support/corpus/odd-folders.ts'
import { createForeign, createOddForeign, type OddForeign } from './support/corpus/odd-foreign.ts'
import { createOddRows } from './support/corpus/odd-rows.ts'
import {
  comparePage,
  compatibilityPage,
  formatAgreements,
  formatReasons,
  formatVersions,
} from './support/corpus/outcome-table.ts'
import { readAsReference, rowReasons } from './support/corpus/row-reference.ts'

const expected = readExpectations()
const tokenizer = createByteTokenizer()

interface Compared extends Comparison {
  readonly group: string
  readonly input: string
  readonly details: string
}

const listOthers = (compared: readonly Compared[]): readonly Compared[] =>
  compared.filter(({ agreement }) => agreement === 'other')

/** Refusals of Graft alone that do not name what they must. */
const listUnnamed = (
  compared: readonly Compared[],
  nameOf: (one: Compared) => string,
): readonly Compared[] =>
  compared.filter(
    (one) => one.agreement === 'Graft alone refuses' && !one.details.includes(nameOf(one)),
  )

const rows = createOddRows()
const comparedRows = rows.map((odd, i): Compared => {
  const ours = readAsReference(odd, tokenizer)
  const comparison = compareReadings(odd, ours, expected.rows[i]?.result ?? null, rowReasons)
  return { ...comparison, group: odd.format, input: odd.line, details: ours.details }
})

describe('2,000 odd rows', () => {
  it('are those that the reference read', () => {
    expect(rows.map(({ line }) => hashInput(line))).toEqual(expected.rows.map(({ input }) => input))
  })
  it('are read as TRL reads them, or refused by row', () => {
    expect(listOthers(comparedRows)).toEqual([])
    expect(listUnnamed(comparedRows, () => 'row 2')).toEqual([])
  })
  it('are compared for most of the rows that are read', () => {
    const same = comparedRows.filter(({ agreement }) => agreement === 'the same')
    expect(same.length).toBeGreaterThan(500)
  })
})

const comparedFiles: Compared[] = []
for (const [i, odd] of createOddFiles().entries()) {
  const { input, result } = expected.files[i]!
  // compressors of other builds write other bytes, which the reference has not seen
  const theirs = hashInput(odd.bytes) === input ? result : null
  const ours = await readFileAsReference(odd)
  const comparison = compareReadings(odd, ours, theirs, fileReasons)
  const { container: group, name, mutation } = odd
  comparedFiles.push({ ...comparison, group, input: `${name}: ${mutation}`, details: ours.details })
}

describe('600 odd files of rows', () => {
  it('are read as datasets reads them, or refused by file', () => {
    expect(listOthers(comparedFiles)).toEqual([])
    expect(listUnnamed(comparedFiles, ({ input }) => input.split(':')[0]!)).toEqual([])
  })
  it('are compared for most of the files that are read', () => {
    const same = comparedFiles.filter(({ agreement }) => agreement === 'the same')
    expect(same.length).toBeGreaterThan(200)
  })
})

const base = await storiesBase()
const sound = await createSoundFolders(base)

async function compareFolders(
  odds: readonly (OddFolder | OddForeign)[],
  results: readonly Expected<FolderExpected | null>[],
  read: typeof readFolder,
): Promise<Compared[]> {
  const compared: Compared[] = []
  for (const [i, odd] of odds.entries()) {
    const { input, result } = results[i]!
    const theirs = hashInput(joinFolder(odd)) === input ? result : null
    const ours = await readFolderAsReference(odd, base, read)
    const comparison =
      theirs === null ? ({ agreement: 'no reference' } as const) : compareFolder(odd, ours, theirs)
    const { kind: group, mutation, change } = odd
    const details = `${ours.details} ${String(theirs)}`
    compared.push({ ...comparison, group, input: `${mutation}: ${change}`, details })
  }
  return compared
}

const comparedFolders = await compareFolders(createOddFolders(sound), expected.folders, readFolder)
const oddForeign = createOddForeign(await createForeign(sound, base))
const comparedForeign = await compareFolders(oddForeign, expected.foreign, readForeign)

describe('300 odd adapters of mlx-lm and llama.cpp', () => {
  it('give the logits that mlx-lm and llama.cpp compute, or are refused', () => {
    expect(listOthers(comparedForeign)).toEqual([])
  })
  it('are compared for most of the folders of mlx-lm that are read', () => {
    const same = comparedForeign.filter(({ agreement }) => agreement === 'the same')
    expect(same.length).toBeGreaterThan(25)
  })
})

describe('500 odd adapter folders', () => {
  it('give the logits that PEFT computes, or are refused', () => {
    expect(listOthers(comparedFolders)).toEqual([])
  })
  it('are compared for most of the folders that are read', () => {
    const same = comparedFolders.filter(({ agreement }) => agreement === 'the same')
    expect(same.length).toBeGreaterThan(60)
  })
})

/** Versions of the corpus, and of the other reference scripts in test/parity and test/golden. */
const listVersions = (): Record<string, string> =>
  Object.assign({}, expected.versions, {
    PEFT: `0.21.0, ${expected.versions['PEFT']}`,
    torch: `2.13, ${expected.versions['torch']}`,
    transformers: `5.18, 5.23, ${expected.versions['transformers']}`,
  })

describe('docs/compatibility.md', () => {
  it.each([
    ['agreement of rows', formatAgreements('format of the file', comparedRows)],
    ['agreement of files', formatAgreements('file', comparedFiles)],
    ['agreement of folders', formatAgreements('kind', [...comparedFolders, ...comparedForeign])],
    ['versions', formatVersions(listVersions())],
    [
      'reasons',
      formatReasons([...comparedRows, ...comparedFiles, ...comparedFolders, ...comparedForeign]),
    ],
  ])('has the table "%s"', (name, found) => {
    expect(comparePage(compatibilityPage, name, found), 'write it anew with GRAFT_UPDATE=1').toBe(
      found,
    )
  })
})

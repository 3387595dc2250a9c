// 2,000 odd rows and the odd adapter folders: the outcome of each by Graft's own rules. The tables
// are those of docs/odd-inputs.md; GRAFT_UPDATE=1 writes them there.

import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { loadModel, train } from '../src/node/index.ts'
import { storiesBase } from './support/adapters.ts'
import { scratchFolder } from './support/cli.ts'
import { judgeFolder, readForeign } from './support/corpus/folder-outcome.ts'
import { createOddFolders, createSoundFolders, toFiles } from './support/corpus/odd-folders.ts'
import { createForeign, createOddForeign } from './support/corpus/odd-foreign.ts'
import { createOddRows } from './support/corpus/odd-rows.ts'
import { comparePage, oddInputsPage, formatOutcomes } from './support/corpus/outcome-table.ts'
import { faults, judgeRow, type Judgement } from './support/corpus/row-outcome.ts'
import { characterTokenizer } from './support/train.ts'

const scratch = scratchFolder()
afterAll(() => scratch.remove())

interface Judged {
  readonly mutation: string
  readonly judgement: Judgement
}

const listFaults = (judged: readonly Judged[]): readonly Judged[] =>
  judged.filter(({ judgement }) => faults.some((fault) => fault === judgement.outcome))

describe('2,000 odd rows', () => {
  const rows = createOddRows()
  const tokenizer = characterTokenizer()
  const judged = rows.map((odd) => ({
    mutation: odd.mutation,
    line: odd.line,
    judgement: judgeRow(odd, tokenizer),
  }))
  it('are used, counted or refused by name', () => {
    expect(listFaults(judged)).toEqual([])
    const found = formatOutcomes(judged)
    expect(
      comparePage(oddInputsPage, 'rows', found),
      'write the table anew with GRAFT_UPDATE=1',
    ).toBe(found)
  })
  it('leave nothing half-written where a run is refused', async () => {
    const model = await loadModel('stories260k')
    const refused = rows
      .filter((_, i) => judged[i]!.judgement.outcome === 'refused by name')
      .filter((_, i) => i % 40 === 0)
    expect(refused.length).toBeGreaterThan(20)
    for (const { number, line, sound } of refused) {
      const [data, out] = [join(scratch.path, `${number}.jsonl`), join(scratch.path, `${number}`)]
      writeFileSync(data, `${JSON.stringify(sound)}\n${line}\n`)
      await expect(async () => (await train({ model, data, out, steps: 1 })).done).rejects.toThrow(
        'row 2',
      )
      expect(existsSync(out)).toBe(false)
    }
    await model.dispose()
  })
})

describe('odd adapter folders', () => {
  it('are used or refused by name', async () => {
    const base = await storiesBase()
    const judged: Judged[] = []
    const sound = await createSoundFolders(base)
    for (const odd of createOddForeign(await createForeign(sound, base))) {
      const judgement = await judgeFolder(odd, odd.soundFiles, base, readForeign)
      judged.push({ mutation: odd.mutation, judgement })
    }
    for (const odd of createOddFolders(sound)) {
      const files = toFiles(odd.sound.config, odd.sound.tensors)
      judged.push({ mutation: odd.mutation, judgement: await judgeFolder(odd, files, base) })
    }
    expect(listFaults(judged)).toEqual([])
    const found = formatOutcomes(judged)
    expect(
      comparePage(oddInputsPage, 'folders', found),
      'write the table anew with GRAFT_UPDATE=1',
    ).toBe(found)
  })
})

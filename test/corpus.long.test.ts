// 2,000 odd rows and 500 odd adapter folders: what becomes of each. The tables are those of
// docs/compatibility.md; GRAFT_UPDATE=1 writes them there.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { random } from '../src/base/random.ts'
import { loadModel, train } from '../src/node/index.ts'
import { storiesBase } from './support/adapters.ts'
import { scratchFolder } from './support/cli.ts'
import { judgeFolder } from './support/corpus/folder-outcome.ts'
import { createOddFolder, createSoundFolders, toFiles } from './support/corpus/odd-folders.ts'
import { createOddRow, type OddRow } from './support/corpus/odd-rows.ts'
import { formatOutcomes } from './support/corpus/outcome-table.ts'
import { faults, judgeRow, type Judgement } from './support/corpus/row-outcome.ts'
import { root } from './support/sources.ts'
import { characterTokenizer } from './support/train.ts'

const scratch = scratchFolder()
afterAll(() => scratch.remove())

interface Judged {
  readonly mutation: string
  readonly judgement: Judgement
}

const listFaults = (judged: readonly Judged[]): readonly Judged[] =>
  judged.filter(({ judgement }) => faults.some((fault) => fault === judgement.outcome))

const page = join(root, 'docs', 'compatibility.md')

/** The page's table between two marks, and the one that was found; GRAFT_UPDATE=1 writes it there. */
function compareTable(name: string, judged: readonly Judged[]): { listed: string; found: string } {
  const found = formatOutcomes(judged)
  console.log(found)
  const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`]
  const text = readFileSync(page, 'utf8')
  const listed = text.slice(text.indexOf(begin) + begin.length, text.indexOf(end)).trim()
  if (process.env['GRAFT_UPDATE'] !== '1') return { listed, found }
  writeFileSync(
    page,
    text.replace(`${begin}\n\n${listed}`, () => `${begin}\n\n${found}`),
  )
  return { listed: found, found }
}

describe('2,000 odd rows', () => {
  const draw = random(12)
  const rows = Array.from({ length: 2000 }, (_, i) => createOddRow(i, draw))
  const tokenizer = characterTokenizer()
  it('are used, counted or refused by name', () => {
    const judged = rows.map((odd) => ({
      mutation: odd.mutation,
      line: odd.line,
      judgement: judgeRow(odd, tokenizer),
    }))
    expect(listFaults(judged)).toEqual([])
    const { listed, found } = compareTable('rows', judged)
    expect(listed, 'write the table anew with GRAFT_UPDATE=1').toBe(found)
  })
  it('leave nothing half-written where a run is refused', async () => {
    const model = await loadModel('stories260k')
    const refused = rows
      .filter((odd: OddRow) => judgeRow(odd, tokenizer).outcome === 'refused by name')
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

describe('500 odd adapter folders', () => {
  it('are used or refused by name', async () => {
    const base = await storiesBase()
    const sound = await createSoundFolders(base)
    const draw = random(12)
    const judged: Judged[] = []
    for (let i = 0; i < 500; i++) {
      const odd = createOddFolder(i, draw, sound)
      const files = toFiles(odd.sound.config, odd.sound.tensors)
      judged.push({ mutation: odd.mutation, judgement: await judgeFolder(odd, files, base) })
    }
    expect(listFaults(judged)).toEqual([])
    const { listed, found } = compareTable('folders', judged)
    expect(listed, 'write the table anew with GRAFT_UPDATE=1').toBe(found)
  })
})

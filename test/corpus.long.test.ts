// Twenty thousand odd rows and five thousand odd adapter folders of other seeds: none is ignored
// silently, and none causes a crash.

import { describe, expect, it } from 'vitest'
import { storiesBase } from './support/adapters.ts'
import { judgeFolder, readForeign } from './support/corpus/folder-outcome.ts'
import { createOddFolders, createSoundFolders, toFiles } from './support/corpus/odd-folders.ts'
import { createForeign, createOddForeign } from './support/corpus/odd-foreign.ts'
import { createOddRows } from './support/corpus/odd-rows.ts'
import { faults, judgeRow, type Judgement } from './support/corpus/row-outcome.ts'
import { characterTokenizer } from './support/train.ts'

const isFault = ({ outcome }: Judgement): boolean => faults.some((fault) => fault === outcome)

describe.each([1, 2, 3, 4])('seed %i', (seed) => {
  it('5,000 odd rows', { timeout: 120_000 }, () => {
    const tokenizer = characterTokenizer()
    const wrong = createOddRows(5000, seed)
      .map(({ mutation, line, ...odd }) => ({
        mutation,
        line,
        judgement: judgeRow(Object.assign({ mutation, line }, odd), tokenizer),
      }))
      .filter(({ judgement }) => isFault(judgement))
    expect(wrong).toEqual([])
  })
  it('1,250 odd adapter folders', { timeout: 120_000 }, async () => {
    const base = await storiesBase()
    const wrong: unknown[] = []
    for (const odd of createOddFolders(await createSoundFolders(base), 1250, seed)) {
      const files = toFiles(odd.sound.config, odd.sound.tensors)
      const judgement = await judgeFolder(odd, files, base)
      const { kind, mutation, change } = odd
      if (isFault(judgement)) wrong.push({ kind, mutation, change, judgement })
    }
    expect(wrong).toEqual([])
  })
  it('600 odd adapters of mlx-lm and llama.cpp', { timeout: 120_000 }, async () => {
    const base = await storiesBase()
    const foreign = await createForeign(await createSoundFolders(base), base)
    const wrong: unknown[] = []
    for (const odd of createOddForeign(foreign, 600, seed)) {
      const judgement = await judgeFolder(odd, odd.soundFiles, base, readForeign)
      const { kind, mutation, change } = odd
      if (isFault(judgement)) wrong.push({ kind, mutation, change, judgement })
    }
    expect(wrong).toEqual([])
  })
})

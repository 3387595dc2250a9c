// Odd adapter folders by the hundred: each is used or refused by name. All of them are in
// test/corpus.long.test.ts.

import { describe, expect, it } from 'vitest'
import { storiesBase } from '../../../test/support/adapters.ts'
import { judgeFolder } from '../../../test/support/corpus/folder-outcome.ts'
import {
  createOddFolder,
  createSoundFolders,
  folderMutations,
  toFiles,
} from '../../../test/support/corpus/odd-folders.ts'
import { faults } from '../../../test/support/corpus/row-outcome.ts'
import { random } from '../../base/random.ts'
import { adapterKinds } from '../kinds/kind-table.ts'

const base = await storiesBase()
const sound = await createSoundFolders(base)

describe('odd adapter folders', () => {
  it('begin with sound ones of every kind that files have', () => {
    const saved = [...adapterKinds.keys()].filter((kind) => kind !== 'pissa' && kind !== 'olora')
    expect(new Set(sound.map(({ kind }) => kind))).toEqual(new Set(saved))
  })
  it('are used or refused by name, never in silence and never with a crash', async () => {
    const draw = random(2)
    const wrong: unknown[] = []
    for (let i = 0; i < 10 * folderMutations.length; i++) {
      const odd = createOddFolder(i, draw, sound)
      const judgement = await judgeFolder(odd, toFiles(odd.sound.config, odd.sound.tensors), base)
      const { kind, mutation, change } = odd
      if (faults.some((fault) => fault === judgement.outcome))
        wrong.push({ kind, mutation, change, judgement })
    }
    expect(wrong).toEqual([])
  })
  it.each(['__proto__', 'constructor', 'toString'])(
    'a setting that is called %s is refused like any other',
    async (name) => {
      const [folder] = sound
      const config = `{"${name}": {"r": 3}, ${JSON.stringify(folder!.config).slice(1)}`
      const odd = {
        ...{ number: 0, kind: 'lora', mutation: 'none', sound: folder!, change: name },
        ...{ files: toFiles(config, folder!.tensors), mustName: [name], isHarmless: false },
      }
      const files = toFiles(folder!.config, folder!.tensors)
      expect((await judgeFolder(odd, files, base)).outcome).toBe('refused by name')
    },
  )
})

describe('a prefix whose file leaves out sizes of its base', () => {
  const prefix = sound.find(({ kind }) => kind === 'prefix-tuning')!
  const judge = (changes: object) => {
    const config = Object.assign({}, prefix.config, changes)
    const odd = {
      ...{ number: 0, kind: 'prefix-tuning', mutation: 'none', sound: prefix, change: '' },
      ...{ files: toFiles(config, prefix.tensors), mustName: ['num_layers'], isHarmless: true },
    }
    return judgeFolder(odd, toFiles(prefix.config, prefix.tensors), base)
  }
  it.each([{ num_attention_heads: null }, { num_layers: null }, { token_dim: null }])(
    'is served with those of the model: %j',
    async (changes) => {
      expect(await judge(changes)).toMatchObject({ outcome: 'used' })
    },
  )
  it('is refused where it names other layers', async () => {
    expect(await judge({ num_layers: 3 })).toMatchObject({ outcome: 'refused by name' })
  })
})

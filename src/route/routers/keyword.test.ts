import { describe, expect, it } from 'vitest'
import { DataError, FormatError, GrammarError, OptionError } from '../../base/errors.ts'
import { listDefaults } from '../../base/schema.ts'
import type { Router, RouterTraining } from '../router.ts'
import { routerContract } from '../router.contract.ts'
import { keyword } from './keyword.ts'
import { createExamples, createTraining } from './testing.ts'

const experts = [
  { name: 'sql', keywords: ['SELECT', 'database table'] },
  { name: 'music', keywords: ['song'] },
]
const bare: RouterTraining = { experts, examples: [], held: [], seed: 0 }
const train = (options: object = {}, training = bare): Router =>
  keyword.train(training, { ...listDefaults(keyword.fields), ...options }, {}) as Router

const rules = [
  { expert: 'sql', terms: { join: 2, song: -1 }, patterns: ['\\bfrom\\s+\\w+\\s+where\\b'] },
  { expert: 'music', terms: ['play list', 'album'] },
]

routerContract('keyword, rules', () => ({
  router: train({ rules }),
  known: [
    { text: 'Join the two database tables', expert: 'sql' },
    { text: 'add this SONG to an album', expert: 'music' },
    { text: 'take all from users where id is 3', expert: 'sql' },
    { text: 'How are you today?', expert: undefined },
  ],
  load: (file) => keyword.load(file, {}),
}))

routerContract('keyword, learned', () => ({
  router: train({}, createTraining()),
  known: createExamples(2, 9),
  load: (file) => keyword.load(file, {}),
}))

describe('a keyword router', () => {
  it('reports which terms it found, and which counted how much', async () => {
    const router = train({ rules })
    const { reason, confidence } = await router.decide({ text: 'play the album, the song' })
    expect(reason).toMatch(/^music at .* because it contains "album", "song"\.$/)
    expect(confidence).toBeGreaterThan(0.5)
    expect(await router.explain!({ text: 'join this album' })).toEqual([
      { kind: 'term', text: 'join', expert: 'sql', weight: 2 },
      { kind: 'term', text: 'album', expert: 'music', weight: 1 },
    ])
  })
  it('counts a term once, and gives the base where experts are even', async () => {
    const router = train()
    const once = await router.decide({ text: 'a song' })
    const often = await router.decide({ text: 'a song song song' })
    expect(often.scores).toEqual(once.scores)
    const even = await router.decide({ text: 'select a song' })
    expect([even.expert, even.reason]).toEqual([undefined, expect.stringMatching(/are needed/)])
  })
  it('gives the base for a prompt stuffed with a keyword, with the reason', async () => {
    const { expert, reason } = await train().decide({ text: 'song '.repeat(500) })
    expect(expert).toBeUndefined()
    expect(reason).toMatch(/"song", fills most of the prompt/)
  })
  it('finds keywords in other scripts, and by their whole words alone', async () => {
    const chinese = [
      { name: 'translate', keywords: ['翻译'] },
      { name: 'other', keywords: ['ключ'] },
    ]
    const router = train({}, { ...bare, experts: chinese })
    expect((await router.decide({ text: '请把这句话翻译成英文' })).expert).toBe('translate')
    expect((await router.decide({ text: 'Где КЛЮЧ?' })).expert).toBe('other')
    expect((await router.decide({ text: 'ключевой' })).expert).toBeUndefined()
  })
  it('is nearly always right with terms that it learned', async () => {
    const router = train({}, createTraining())
    const tests = createExamples(50, 7)
    const found = await Promise.all(tests.map(({ text }) => router.decide({ text })))
    const right = found.filter(({ expert }, i) => expert === tests[i]!.expert)
    expect(right.length / tests.length).toBeGreaterThan(0.9)
  })
  it.each([
    [
      [{ expert: 'sqll', terms: ['a'] }],
      /rules\[0\]\.expert: there is no expert "sqll"\. Did you mean "sql"\?/,
    ],
    [[{ terms: ['a'] }], /rules\[0\]\.expert: is missing/],
    [[{ expert: 'sql', term: ['a'] }], /Did you mean "rules\[0\]\.terms"\?/],
    [[{ expert: 'sql', terms: ['...a b c d e f g h i'] }], /expected 1 to 8/],
    [[3], /rules\[0\]: got 3/],
  ])('refuses the rules %j', (wrong, message) => {
    expect(() => train({ rules: wrong })).toThrow(OptionError)
    expect(() => train({ rules: wrong })).toThrow(message)
  })
  it('refuses patterns without a linear time, doubled experts, and no rules at all', () => {
    const look = [{ expert: 'sql', patterns: ['(?=a)b'] }]
    expect(() => train({ rules: look })).toThrow(GrammarError)
    const twice = [...experts, { name: 'sql' }]
    expect(() => train({}, { ...bare, experts: twice })).toThrow(/two experts have the name "sql"/)
    const silent = [{ name: 'a' }]
    expect(() => train({}, { ...bare, experts: silent })).toThrow(DataError)
  })
  it('is refused with rows for experts that are not there', () => {
    const file = train().save()
    const state = { ...file.state, terms: [['a', 7, 1]] }
    expect(() => keyword.load({ ...file, state }, {})).toThrow(FormatError)
  })
})

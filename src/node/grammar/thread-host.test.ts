import { afterAll, beforeAll, expect, it } from 'vitest'
import { readGrammar } from '../../formats/grammar/read-grammar.ts'
import { hasBit, isOnlyEnd } from '../../runtime/decode/processors/grammar-mask.ts'
import type { GrammarHost, TokenMatcher } from '../../runtime/grammar/grammar-host.ts'
import { createLocalHost } from '../../runtime/grammar/local-host.ts'
import type { Vocabulary } from '../../runtime/grammar/vocabulary.ts'
import { openGrammarLibrary } from './open-library.ts'
import { createThreadHost } from './thread-host.ts'

const tokens = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))
const vocabulary: Vocabulary = { key: 'thread-host.test', size: 256, tokens }
const request = (pattern: string) => ({
  vocabulary,
  text: readGrammar({ type: 'regex', pattern }).text,
})

let threads: GrammarHost
let local: GrammarHost
beforeAll(() => {
  threads = createThreadHost()
  local = createLocalHost(openGrammarLibrary)
})
afterAll(() => Promise.all([threads.dispose(), local.dispose()]))

const write = async (matcher: TokenMatcher, text: string): Promise<number[][]> => {
  const masks: number[][] = []
  for (const byte of new TextEncoder().encode(text)) {
    await matcher.ready()
    masks.push([...matcher.mask!])
    matcher.accept(byte)
  }
  await matcher.ready()
  masks.push([...matcher.mask!])
  return masks
}

it('gives the masks of a host in this thread', async () => {
  const texts = ['ab12', 'zz9', 'q']
  const pattern = '[a-z]{1,3}[0-9]*'
  const here = await Promise.all(
    texts.map(async (text) => write(await local.open(request(pattern)), text)),
  )
  const there = await Promise.all(
    texts.map(async (text) => write(await threads.open(request(pattern)), text)),
  )
  expect(there).toEqual(here)
})

it('compiles a grammar once, and gives matchers back', async () => {
  const before = threads.statistics
  const matchers = await Promise.all([1, 2, 3].map(() => threads.open(request('abc'))))
  for (const matcher of matchers) await write(matcher, 'abc')
  expect(isOnlyEnd(matchers[0]!.mask!, 256)).toBe(true)
  for (const matcher of matchers) matcher.close()
  const { compilations, hits, matchers: open } = threads.statistics
  expect(compilations - before.compilations).toBe(1)
  expect(hits - before.hits).toBe(2)
  expect(open).toBe(before.matchers)
})

it('rejects waiting answers with the reason, and serves others', async () => {
  const broken = await threads.open({ vocabulary, text: 'root ::= [' })
  const fine = await threads.open(request('x'))
  await expect(broken.ready()).rejects.toThrow('could not be compiled')
  await fine.ready()
  expect(hasBit(fine.mask!, 'x'.charCodeAt(0))).toBe(true)
  expect(threads.statistics.failures).toBeGreaterThan(0)
})

it('lets a matcher go on whose instance another grammar has broken', async () => {
  const going = await local.open(request('a{9}b'))
  await write(going, 'aaaa')
  await expect(local.open({ vocabulary, text: 'nonsense' })).rejects.toThrow(
    'could not be compiled',
  )
  await write(going, 'aaaaab')
  expect(isOnlyEnd(going.mask!, 256)).toBe(true)
})

it('keeps no more grammars than it may', async () => {
  const small = createLocalHost(openGrammarLibrary, { grammars: 2 })
  for (const pattern of ['a', 'b', 'c', 'a']) (await small.open(request(pattern))).close()
  expect(small.statistics).toMatchObject({ compiled: 2, compilations: 4, matchers: 0 })
})

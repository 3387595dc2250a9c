// What a policy learns from a model's vectors: words with similar meaning, and another head's
// predictions.
import { expect, it } from 'vitest'
import { referenceBackend } from '../../compute/reference.ts'
import { OptionError } from '../../base/errors.ts'
import { readOptions } from '../../base/schema.ts'
import type { TextEmbedder } from '../router.ts'
import { policy } from '../routers/policy.ts'
import { computeDot } from '../heads/vector-head.ts'
import { teachShares, teachWords } from './teach-policy.ts'
import { listBuckets } from './word-buckets.ts'
import { writeWordVector } from './word-vectors.ts'

const music = ['song', 'album', 'ballad', 'chorus']
const tables = ['rows', 'columns', 'query', 'index']

/** Two meanings; where both are in a text, it is between them. */
const embedder: TextEmbedder = {
  settings: {},
  sha256: 'a',
  width: 3,
  parts: [2, 1],
  embed: async (texts) =>
    texts.map((text) => {
      const count = (words: readonly string[]): number =>
        words.filter((word) => text.includes(word)).length
      return Float32Array.of(count(music), count(tables), text.length / 1000)
    }),
}
const prompts = [...music, ...tables].flatMap((word, i) => [
  { text: `one ${word}`, expert: i < 4 ? 0 : 1 },
  { text: `two ${word}`, expert: i < 4 ? 0 : 1 },
])

it('gives words of like meaning like vectors', async () => {
  const table = new Float32Array(512 * 2).map((_, i) => Math.sin(i * i) / 2)
  const teach = await teachWords(prompts, { buckets: 512, width: 2, maxWords: 8 }, embedder)
  teach(table)
  const read = (word: string): Float32Array => {
    const out = new Float32Array(2)
    writeWordVector(table, listBuckets(word, 512), out)
    return out
  }
  const compare = (a: string, b: string): number => {
    const [x, y] = [read(a), read(b)]
    return computeDot(x, y) / Math.sqrt(computeDot(x, x) * computeDot(y, y))
  }
  expect(compare('song', 'ballad')).toBeGreaterThan(0.95)
  expect(compare('song', 'columns')).toBeLessThan(0)
})

it('is less sure of a prompt than its label, where the prompt is between experts', async () => {
  const between = { text: 'a song about rows', expert: 0 }
  const strange = { text: 'neither', expert: -1 }
  const shares = await teachShares([...prompts, between, strange], 2, embedder)
  expect(shares[0]![0]).toBeGreaterThan(0.9)
  expect(shares.at(-2)![0]).toBeLessThan(0.8)
  expect(shares.at(-1)).toBeUndefined()
})

it('trains with a teacher and decides without one', async () => {
  const size = { buckets: 256, width: 4, hidden: 6, inputRank: 3, stateRank: 3, epochs: 2 }
  const given = Object.assign({ taught: true, holdOut: 0 }, size)
  const options = readOptions('Router', given, policy.fields)
  const examples = prompts.map(({ text, expert }) => ({ text, expert: ['music', 'sql'][expert] }))
  const experts = [{ name: 'music' }, { name: 'sql' }]
  const training = { experts, examples, held: [], seed: 1 }
  const trained = await policy.train(training, options, { backend: referenceBackend, embedder })
  const read = await policy.load(trained.save(), {})
  const asked = { text: 'two album' }
  expect(await read.decide(asked)).toEqual(await trained.decide(asked))
  await expect(
    (async () => policy.train(training, options, { backend: referenceBackend }))(),
  ).rejects.toThrow(OptionError)
})

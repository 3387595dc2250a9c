import { afterAll, describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { loadModel } from '../../node/model.ts'
import { createBaseEmbedder } from './base-embedder.ts'
import { hashTerms } from './hashed-terms.ts'
import { createMemoEmbedder } from './memo-embedder.ts'

const model = await loadModel('stories260k')
afterAll(() => model.dispose())
const { width } = model.config
const distance = (a: Float32Array, b: Float32Array): number =>
  Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0))
const length = (a: Float32Array): number => distance(a, new Float32Array(a.length))

describe('vectors of the base’s own layers', () => {
  it('are alike in any batch, and near for near texts', async () => {
    const embedder = await createBaseEmbedder(model, { layers: [1, 3], terms: 0 })
    const texts = ['The dog ran home.', 'The dog ran home fast.', 'Add 17 and 4', '']
    const together = await embedder.embed(texts)
    const [alone] = await embedder.embed([texts[1]!])
    expect(distance(alone!, together[1]!)).toBeLessThan(1e-3)
    expect(distance(together[0]!, together[1]!)).toBeLessThan(distance(together[0]!, together[2]!))
    expect(together.every((vector) => vector.length === 2 * width)).toBe(true)
    expect(length(together[0]!)).toBeCloseTo(Math.SQRT2, 4)
    await embedder.dispose()
  })
  it('are near those of products that are not in 8 bits, which they are only if asked', async () => {
    const [fast, same] = await Promise.all(
      (['int8', 'same'] as const).map((products) =>
        createBaseEmbedder(model, { layers: [3], terms: 0, products }),
      ),
    )
    const [[a], [b]] = [await fast!.embed(['The dog ran.']), await same!.embed(['The dog ran.'])]
    expect(distance(a!, b!)).toBeLessThan(0.03)
    expect(distance(a!, b!)).toBeGreaterThan(0)
    expect([fast!.settings, same!.settings].map((settings) => 'products' in settings)).toEqual([
      true,
      false,
    ])
    await Promise.all([fast!.dispose(), same!.dispose()])
  })
  it('use the requested layers and poolings, and hashed terms in addition', async () => {
    const pooling = ['mean', 'last', 'max'] as const
    const embedder = await createBaseEmbedder(model, { layers: [2], pooling, terms: 64 })
    expect([embedder.width, embedder.parts]).toEqual([3 * width + 64, [3 * width, 64]])
    const [vector] = await embedder.embed(['The dog'])
    const parts = [0, 1, 2].map((i) => vector!.subarray(i * width, (i + 1) * width))
    for (const part of parts) expect(length(part)).toBeCloseTo(1, 4)
    expect([...vector!.subarray(3 * width)]).toEqual([...hashTerms('The dog', 64)])
    await embedder.dispose()
  })
  it('read the beginning and the end of a long prompt', async () => {
    const embedder = await createBaseEmbedder(model, { layers: [2], terms: 0, maxTokens: 6 })
    const middle = (word: string): string =>
      `Once upon a time ${`${word} `.repeat(500)} the dog ran home.`
    const [a, b] = await embedder.embed([middle('cat'), middle('bird')])
    expect(distance(a!, b!)).toBeLessThan(1e-5)
    const [c] = await embedder.embed([`${middle('cat')} The end came soon.`])
    expect(distance(a!, c!)).toBeGreaterThan(1e-3)
    await embedder.dispose()
  })
  it('end with an aborted signal, and refuse unknown options', async () => {
    const embedder = await createBaseEmbedder(model)
    const signal = AbortSignal.abort(new Error('left'))
    await expect(embedder.embed(['a'], signal)).rejects.toThrow('left')
    await expect(createBaseEmbedder(model, { layer: [1] } as never)).rejects.toThrow(/"layers"\?/)
    await expect(createBaseEmbedder(model, { pooling: ['men'] } as never)).rejects.toThrow(
      OptionError,
    )
  })
})

describe('hashed terms', () => {
  it('are the same for the same words in any case, of length 1, and zeros for nothing', () => {
    expect(hashTerms('The DOG', 256)).toEqual(hashTerms('the dog', 256))
    expect(length(hashTerms('the dog', 256))).toBeCloseTo(1, 5)
    expect(length(hashTerms(' ', 256))).toBe(0)
    const near = distance(hashTerms('transfer money', 256), hashTerms('transfers of money', 256))
    expect(near).toBeLessThan(
      distance(hashTerms('transfer money', 256), hashTerms('rainy day', 256)),
    )
  })
})

describe('an embedder with a memory', () => {
  it('reads every text once while it is remembered', async () => {
    const read: string[] = []
    const source = {
      settings: {},
      sha256: 'a',
      width: 2 ** 20,
      embed: async (texts: readonly string[]) => {
        read.push(...texts)
        return texts.map((text) => Float32Array.of(text.length))
      },
    }
    const memo = createMemoEmbedder(source, 2 ** 20)
    expect((await memo.embed(['a', 'bb', 'a'])).map(([value]) => value)).toEqual([1, 2, 1])
    await memo.embed(['bb'])
    expect(read).toEqual(['a', 'bb'])
    await memo.embed(Array.from({ length: 20 }, (_, i) => `x${i}`))
    await memo.embed(['a'])
    expect(read.filter((text) => text === 'a')).toHaveLength(2)
  })
})

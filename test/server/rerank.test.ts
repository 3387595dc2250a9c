// Reranking with an expert that was trained to embed, and the poolings of states.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { poolingKey } from '../../src/adapters/serving/pooling.ts'
import { random } from '../../src/base/random.ts'
import { train } from '../../src/train/index.ts'
import { ask, createNoisyExpert, openTestServer, type TestServer } from '../support/server.ts'

let server: TestServer
const query = 'Lily saw a cat.'
const documents = ['The dog is called Max.', 'Lily saw a cat.', 'One day it rained.']

beforeAll(async () => {
  server = await openTestServer()
  const { model, engine } = server
  const teach = (seed: number, pooling: string) =>
    Object.assign({}, createNoisyExpert(model, seed), { metadata: { [poolingKey]: pooling } })
  await engine.registerAdapter('writer', createNoisyExpert(model, 1))
  await engine.registerAdapter('finder', teach(2, 'mean'))
  await engine.registerAdapter('ender', teach(3, 'last'))
})
afterAll(() => server.close())

const embed = async (body: object): Promise<number[][]> => {
  const { body: answer } = await ask(server, '/v1/embeddings', { input: documents, ...body })
  return answer.data.map(({ embedding }: { embedding: number[] }) => embedding)
}
const computeCosine = (a: number[], b: number[]): number =>
  a.reduce((sum, value, i) => sum + value * b[i]!, 0)

describe('/v1/rerank', () => {
  it.each(['/v1/rerank', '/v2/rerank', '/rerank'])('%s ranks by the cosine', async (path) => {
    const asked = { model: 'finder', query, documents }
    const { status, body } = await ask(server, path, asked)
    expect(status).toBe(200)
    expect(body).toMatchObject({ object: 'list', model: 'finder' })
    expect(body.id).toMatch(/^rerank-/)
    expect(body.usage.total_tokens).toBeGreaterThan(20)
    expect(body.results[0]).toMatchObject({ index: 1, document: { text: query } })
    expect(body.results[0].relevance_score).toBeCloseTo(1, 4)
    const [first] = await embed({ model: 'finder', input: [query] })
    const vectors = await embed({ model: 'finder' })
    for (const { index, relevance_score: score } of body.results)
      expect(score).toBeCloseTo(computeCosine(first!, vectors[index]!), 5)
    const scores = body.results.map((one: { relevance_score: number }) => one.relevance_score)
    expect(scores).toEqual(scores.toSorted((a: number, b: number) => b - a))
  })

  it('takes objects, gives the best alone, and leaves texts out', async () => {
    const objects = documents.map((text) => ({ text }))
    const asked = { model: 'finder', query, documents: objects, top_n: 1, return_documents: false }
    const { body } = await ask(server, '/v1/rerank', asked)
    expect(body.results).toHaveLength(1)
    expect(Object.keys(body.results[0])).toEqual(['index', 'relevance_score'])
  })

  it.each([
    [{ model: 'writer' }, 400, 'model', '"writer" was not trained to embed'],
    [{ model: 'stories260k' }, 400, 'model', 'there are finder, ender'],
    [{ model: 'nobody' }, 404, 'model', 'There is no expert'],
    [{ model: undefined }, 400, 'model', 'several experts were trained to embed: finder, ender'],
    [{ documents: [] }, 400, 'documents', 'expected 1 to 2048'],
    [{ documents: ['a', 3] }, 400, 'documents.1', 'expected a string'],
    [{ documents: [{ image: 'x' }] }, 400, 'documents.0', 'expected a string'],
    [{ query: '' }, 400, 'query', 'query'],
    [{ rank_fields: ['a'] }, 400, 'rank_fields', 'documents are texts'],
    [{ topn: 1 }, 400, 'topn', 'top_n'],
  ])('refuses %j', async (more, status, param, words) => {
    const answer = await ask(server, '/v1/rerank', { model: 'finder', query, documents, ...more })
    expect([answer.status, answer.body.error.param]).toEqual([status, param])
    expect(answer.body.error.message).toContain(words)
  })

  it('reports which experts embed', async () => {
    const { body } = await ask(server, '/v1/experts')
    const found = body.data.map((one: { id: string; pooling: string }) => [one.id, one.pooling])
    expect(Object.fromEntries(found)).toEqual({ writer: null, finder: 'mean', ender: 'last' })
  })
})

describe('pooling', () => {
  it('is as the expert was taught, else the mean, else as the request says', async () => {
    const own = await embed({ model: 'ender' })
    expect(await embed({ model: 'ender', pooling: 'last' })).toEqual(own)
    expect(await embed({ model: 'ender', pooling: 'mean' })).not.toEqual(own)
    const base = await embed({})
    expect(await embed({ pooling: 'mean' })).toEqual(base)
    expect((await ask(server, '/v1/embeddings', { input: 'a', pooling: 'sum' })).status).toBe(400)
  })

  it('is that of the states: the last, the first, and their mean', async () => {
    const { model } = server
    const ids = [1, 403, 407, 261]
    const [states] = await model.hidden([ids], { at: 'all' })
    const scale = (vector: Float32Array): number[] => {
      const length = Math.hypot(...vector)
      return Array.from(vector, (value) => value / length)
    }
    const mean = states![0]!.map((_, i) => states!.reduce((sum, row) => sum + row[i]!, 0) / 4)
    for (const [pooling, wanted] of [
      ['last', states![3]!],
      ['cls', states![0]!],
      ['mean', mean],
    ] as const) {
      const { data } = await model.embed([ids], { pooling })
      scale(wanted).forEach((value, i) => expect(data[i]).toBeCloseTo(value, 4))
    }
  })
})

describe('an expert that learned by the contrastive loss', () => {
  const words = {
    size: { big: 'huge', small: 'tiny', old: 'very old and slow', new: 'young' },
    who: { dog: 'puppy', cat: 'kitten', boy: 'little kid named Tim', bird: 'one that can fly' },
    mood: { happy: 'full of joy', sad: 'in tears', scared: 'afraid', angry: 'mad' },
    place: { park: 'grass and trees', house: 'home', bed: 'room to sleep', water: 'lake' },
  }
  const { size, who, mood, place } = words
  /** Sentences that say the same in other words. */
  const rows = random(3).shuffle(
    Object.entries(size).flatMap(([s, large]) =>
      Object.entries(who).flatMap(([w, one]) =>
        Object.entries(mood).flatMap(([m, glad]) =>
          Object.entries(place).map(([p, there]) => ({
            anchor: `The ${s} ${w} was ${m} in the ${p}.`,
            positive: `At the ${there} there was a ${large} ${one}, ${glad}.`,
          })),
        ),
      ),
    ),
  )
  const held = rows.slice(0, 16)

  /** Mean of 1/rank of the sentence that says the same, over rows that were not taught. */
  async function rank(find: (anchor: string, texts: string[]) => Promise<number[]>) {
    const texts = held.map(({ positive }) => positive)
    let sum = 0
    for (const [i, { anchor }] of held.entries())
      sum += 1 / ((await find(anchor, texts)).indexOf(i) + 1)
    return sum / held.length
  }
  const byEmbeddings = (model: string) => async (anchor: string, texts: string[]) => {
    const [first, ...others] = await embed({ model, input: [anchor, ...texts] })
    const scores = others.map((vector) => computeCosine(first!, vector))
    return [...scores.keys()].toSorted((a, b) => scores[b]! - scores[a]!)
  }

  it('finds what the base does not, on rows that it has not seen', async () => {
    const { model, engine } = server
    const { adapter } = await train({
      model,
      data: rows.slice(16),
      loss: 'contrastive',
      adapter: { kind: 'lora', config: { rank: 8 } },
      batch: { rows: 1, tokens: 256 },
      steps: 30,
      learningRate: 7e-3,
      seed: 1,
    }).done
    expect(adapter.metadata).toMatchObject({ [poolingKey]: 'mean' })
    await engine.registerAdapter('taught', adapter)
    const taught = await rank(async (anchor, texts) => {
      const asked = { model: 'taught', query: anchor, documents: texts }
      const { body } = await ask(server, '/v1/rerank', asked)
      return body.results.map(({ index }: { index: number }) => index)
    })
    const base = await rank(byEmbeddings('stories260k'))
    expect(base).toBeLessThan(0.35)
    expect(taught).toBeGreaterThan(0.6)
    expect(await rank(byEmbeddings('taught'))).toBeCloseTo(taught, 6)
    await engine.unloadAdapter('taught')
  })
})

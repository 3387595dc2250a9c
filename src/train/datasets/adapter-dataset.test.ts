import { describe, expect, it } from 'vitest'
import { memorySink } from '../../../test/support/adapters.ts'
import {
  DataError,
  FormatError,
  NotFoundError,
  OptionError,
  ShapeError,
} from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import {
  type AdapterDataset,
  createEmbeddingDataset,
  joinDatasets,
  selectExamples,
  countExamples,
  createTextDataset,
  toTrainingData,
} from './adapter-dataset.ts'
import {
  encodeDataset,
  hashDataset,
  loadDataset,
  readDataset,
  saveDataset,
} from './dataset-files.ts'
import { computeDatasetStatistics } from './dataset-statistics.ts'
import { deduplicate, groupDuplicates, normalizeText } from './duplicates.ts'
import { encodeData } from '../data/encode.ts'
import { readExamples } from '../data/format-table.ts'
import { splitDataset } from './split-dataset.ts'

const width = 16
const generator = random(3)
const vector = (): Float32Array => Float32Array.from({ length: width }, () => generator.normal())
const near = (base: Float32Array): Float32Array =>
  base.map((value) => value + 0.01 * generator.normal())
const pair = (prompt: string, completion = 'yes') => ({ prompt, completion })

const texts = createTextDataset('texts', [
  { row: pair('What is a cat?'), quality: 0.9, task: 'ask', domain: 'animals' },
  { row: pair('what is a CAT'), quality: 0.95, task: 'ask', domain: 'animals' },
  { row: pair('What is a dog?'), quality: 0.5, task: 'ask', domain: 'animals', group: 'dogs' },
  { row: { ...pair('Name a tree.'), meta: { by: 'hand' } }, quality: 0.25, task: 'name' },
  { row: pair('What is an old dog?'), quality: 1, group: 'dogs' },
])
const first = vector()
const second = vector()
const vectors = createEmbeddingDataset('vectors', width, [
  { input: first, target: vector(), quality: 0.2, task: 'a' },
  { input: second, target: vector(), quality: 0.8, domain: 'd' },
  { input: near(first), target: vector(), quality: 0.6, task: 'a' },
  { input: second, target: vector(), quality: 0.4, group: 'g' },
])

describe('duplicates', () => {
  it('of texts have the same words', () => {
    expect(normalizeText('  What—is a  CAT?! ')).toBe('what is a cat')
    expect([...groupDuplicates(texts)]).toEqual([0, 0, 2, 3, 4])
    const { dataset, removed } = deduplicate(texts)
    expect(removed).toEqual([0]) // the better one stays
    expect(dataset.rows[0]).toEqual(pair('what is a CAT'))
  })
  it('of vectors have the same bits, or a small angle', () => {
    expect([...groupDuplicates(vectors)]).toEqual([0, 1, 2, 1])
    expect([...groupDuplicates(vectors, { similarity: 0.99 })]).toEqual([0, 1, 0, 1])
    expect(deduplicate(vectors, { similarity: 0.99 }).removed).toEqual([0, 3])
    expect(() => groupDuplicates(vectors, { similarity: 1.5 })).toThrow(OptionError)
  })
  it('are found among more rows than are compared at a time', () => {
    const many = Array.from({ length: 600 }, vector)
    const examples = [...many, near(many[0]!), near(many[300]!), near(many[599]!)].map((input) => ({
      input,
      target: input,
    }))
    const groups = groupDuplicates(createEmbeddingDataset('many', width, examples), {
      similarity: 0.99,
    })
    expect([...groups.subarray(600)]).toEqual([0, 300, 599])
    expect(new Set(groups).size).toBe(600)
  })
})

describe('splitDataset', () => {
  const rows = Array.from({ length: 50 }, (_, i) => ({
    row: pair(`Question ${i}`),
    group: i < 12 ? `group ${i % 3}` : undefined,
  }))
  const dataset = createTextDataset(
    'rows',
    rows.map(({ row, group }) => ({ row, ...(group === undefined ? {} : { group }) })),
  )
  it('holds a fifth back by default, always the same for a seed', () => {
    const { train, validation } = splitDataset(dataset, { seed: 1 })
    expect([countExamples(train), countExamples(validation)]).toEqual([40, 10])
    expect(splitDataset(dataset, { seed: 1 })).toEqual({ train, validation })
    expect(splitDataset(dataset, { seed: 2 }).validation).not.toEqual(validation)
    expect([...train.rows, ...validation.rows].map((row) => row['prompt']).sort()).toEqual(
      rows.map(({ row }) => row.prompt).sort(),
    )
  })
  it.each(Array.from({ length: 12 }, (_, seed) => seed))(
    'never parts a group (seed %i)',
    (seed) => {
      const { train, validation } = splitDataset(dataset, { seed })
      const held = new Set(validation.groups.filter((group) => group !== undefined))
      expect(train.groups.filter((group) => group !== undefined && held.has(group))).toEqual([])
    },
  )
  it.each(Array.from({ length: 8 }, (_, seed) => seed))(
    'never splits duplicates, nor examples that share a group with them (seed %i)',
    (seed) => {
      const parts = splitDataset(texts, { seed, share: 0.4 })
      for (const part of [parts.train, parts.validation]) {
        const cats = part.rows.filter((row) => /cat/i.test(String(row['prompt']))).length
        const dogs = part.rows.filter((row) => /dog/.test(String(row['prompt']))).length
        expect([0, 2]).toContain(cats)
        expect([0, 2]).toContain(dogs)
      }
      const halves = splitDataset(vectors, { seed, share: 0.5, similarity: 0.99 })
      expect([countExamples(halves.train), countExamples(halves.validation)]).toEqual([2, 2])
    },
  )
  it('refuses what is not a data set, and options that are unknown', () => {
    const bareRows = [pair('a'), pair('b')] as unknown as AdapterDataset
    expect(() => splitDataset(bareRows)).toThrow(
      'splitDataset: got a list of 2, expected a data set of createTextDataset or createEmbeddingDataset.',
    )
    expect(() => splitDataset(texts, { sed: 1 } as object)).toThrow(
      'there is no option "sed". Did you mean "seed"?',
    )
    expect(splitDataset(texts)).toEqual(splitDataset(texts, { seed: 0 }))
    expect(() => deduplicate(texts, { similarty: 0.9 } as object)).toThrow('similarity')
    expect(() => toTrainingData(vectors as never)).toThrow('got a data set of vectors')
    expect(() => computeDatasetStatistics(bareRows)).toThrow(OptionError)
  })
  it('refuses what cannot be parted', () => {
    expect(() => splitDataset(selectExamples(texts, [0, 1]), { seed: 1 })).toThrow(
      /cannot be parted/,
    )
    expect(() => splitDataset(texts, { seed: 1, share: 1 })).toThrow(OptionError)
  })
})

describe('files', () => {
  it.each([texts, vectors] as AdapterDataset[])('$name come back as they went', async (dataset) => {
    const sink = memorySink()
    await saveDataset(dataset, sink, 'data/examples')
    const loaded = await loadDataset(sink, 'data/examples')
    expect({ ...loaded, name: dataset.name }).toEqual(dataset)
    expect(await hashDataset(loaded)).toBe(await hashDataset(dataset))
  })
  it('of texts are rows that train reads, whatever their format', () => {
    const plain = createTextDataset('plain', [{ row: { text: 'All of it.' }, quality: 0.5 }])
    const [line] = [...encodeDataset(plain)]
    const row = JSON.parse(new TextDecoder().decode(line)) as Record<string, unknown>
    expect(readExamples({ name: 'x', rows: [{ number: 1, value: row }] }).format.name).toBe('text')
  })
  it('hash every number and label', async () => {
    const changed = [
      { ...vectors, quality: vectors.quality.map((value, i) => (i === 3 ? 0.41 : value)) },
      { ...vectors, tasks: vectors.tasks.map((task) => task ?? 'b') },
      { ...vectors, targets: vectors.targets.map((value, i) => (i === 63 ? value + 1e-6 : value)) },
    ]
    const hashes = await Promise.all([vectors, ...changed].map((dataset) => hashDataset(dataset)))
    expect(new Set(hashes).size).toBe(4)
    expect(await hashDataset({ ...vectors, name: 'other' })).toBe(hashes[0])
  })
  it('that are no data sets are refused with what is wrong', async () => {
    const bytes = new TextEncoder().encode(
      '{"prompt":"a","completion":"b","meta":{"quality":"good","task":3}}\n{"prompt":"a","completion":"b","meta":{"quality":7}}\n',
    )
    await expect(readDataset(bytes, 'bad.jsonl')).rejects.toThrow(
      /row 1: meta.quality must be a number.*\n.*row 1: meta.task must be a string/,
    )
    await expect(
      readDataset(new TextEncoder().encode('{"text":"a","meta":{"quality":7}}'), 'bad'),
    ).rejects.toThrow(/got 7, expected a number from 0 to 1/)
    const sink = memorySink()
    await saveDataset(vectors, sink, 'x')
    await expect(readDataset(sink.files.get('x')!.subarray(0, 900), 'cut')).rejects.toThrow(
      FormatError,
    )
    await expect(loadDataset(sink, 'y')).rejects.toThrow(NotFoundError)
  })
})

describe('a data set', () => {
  it('counts itself', () => {
    const { examples, quality, qualityTenths, tasks, domains, groups, duplicates, meanCharacters } =
      computeDatasetStatistics(texts)
    expect([examples, groups, duplicates]).toEqual([5, 1, 1])
    expect(quality.mean).toBeCloseTo(0.72, 6)
    expect([quality.least, quality.most]).toEqual([0.25, 1])
    expect(qualityTenths).toEqual([0, 0, 1, 0, 0, 1, 0, 0, 0, 3])
    expect([...tasks].map(([task, { count }]) => [task, count])).toEqual([
      ['ask', 3],
      ['name', 1],
      ['', 1],
    ])
    expect(domains.get('animals')!.meanQuality).toBeCloseTo((0.9 + 0.95 + 0.5) / 3, 6)
    expect(meanCharacters).toBeGreaterThan(20)
    expect(computeDatasetStatistics(vectors)).toMatchObject({
      level: 'embedding',
      width,
      duplicates: 1,
    })
  })
  it('is refused with everything that is wrong in it', () => {
    expect(() => createTextDataset('none', [])).toThrow(DataError)
    const bad = [
      { input: vector(), target: new Float32Array(3) },
      { input: vector().fill(NaN), target: vector(), quality: 2 },
    ]
    expect(() => createEmbeddingDataset('bad', width, bad)).toThrow(
      /example 1: .*expected 16 each\n.*example 2: quality: got 2.*; contains NaN/,
    )
  })
  it('is refused with labels that are unknown and parts that are missing', () => {
    expect(() => createTextDataset('t', [{ row: pair('a'), qualty: 1 } as never])).toThrow(
      'example 1: there is no option "qualty". Did you mean "quality"?',
    )
    expect(() => createTextDataset('t', [pair('a') as never])).toThrow('row: got nothing')
    expect(() => createTextDataset('t', undefined as never)).toThrow(DataError)
    expect(() => createEmbeddingDataset('e', width, [{ input: vector() } as never])).toThrow(
      'target: got nothing, expected a list of numbers',
    )
  })
  it('is joined from parts of one form', () => {
    expect(countExamples(joinDatasets('both', [vectors, vectors]))).toBe(8)
    expect(
      joinDatasets('one', [selectExamples(texts, [0, 1]), selectExamples(texts, [2, 3, 4])]),
    ).toEqual({ ...texts, name: 'one' })
    expect(() => joinDatasets<AdapterDataset>('no', [texts, vectors])).toThrow(ShapeError)
  })
})

describe('training data', () => {
  it('weighs rows by quality, and leaves out those of none', () => {
    const withNone = createTextDataset('t', [
      { row: pair('a'), quality: 0.5 },
      { row: pair('b'), quality: 0 },
    ])
    expect(toTrainingData(withNone, 'hash')).toEqual({
      name: 't',
      rows: [{ number: 1, value: pair('a'), weight: 0.5 }],
      contentHash: 'hash',
    })
    expect(() => toTrainingData(selectExamples(withNone, [1]))).toThrow(DataError)
  })
  it('gives labels the weight of their row', () => {
    const tokenizer = {
      encode: (text: string) => [...text].map((letter) => letter.charCodeAt(0)),
      decode: (ids: number[]) => String.fromCharCode(...ids),
      eosId: 3,
    }
    const encoded = encodeData(
      toTrainingData(createTextDataset('t', [{ row: pair('ab', 'c'), quality: 0.25 }])),
      {
        tokenizer: tokenizer as never,
        maxTokens: 9,
      },
    )
    expect([...encoded.rows[0]!.weights]).toEqual([0, 0, 0.25, 0.25])
  })
})

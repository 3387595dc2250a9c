import { Ajv } from 'ajv'
import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { initializeAdapter } from '../adapters/create-adapter.ts'
import { FormatError, MismatchError, OptionError, UnsupportedError } from '../base/errors.ts'
import { f32 } from '../base/tensor.ts'
import { loadModel } from '../node/model.ts'
import { createRouter } from './create-router.ts'
import { routerContract } from './router.contract.ts'
import { createRouterJsonSchema, type RouterFile } from './router-file.ts'
import { routerKinds } from './router-table.ts'
import { createExamples, createTraining, createWordEmbedder } from './routers/testing.ts'

const embedder = createWordEmbedder()
const { experts, examples } = createTraining()
const given = { experts, examples, embedder }

for (const kind of ['cascade', 'hierarchical', 'tasks'])
  routerContract(`${kind}, made by createRouter`, async () => ({
    router: await createRouter({ ...given, kind }),
    known: createExamples(2, 9),
    load: (file) => createRouter({ file, embedder }),
  }))

describe('createRouter', () => {
  it('lists kinds for people', () => {
    for (const [name, row] of routerKinds)
      expect([row.kind, row.about.length > 8]).toEqual([name, true])
  })
  it('refuses unknown options, kinds and options of kinds, with what was meant', async () => {
    await expect(createRouter({ ...given, exmples: [] } as never)).rejects.toThrow(/"examples"\?/)
    await expect(createRouter({ ...given, kind: 'embeding' })).rejects.toThrow(/"embedding"\?/)
    const options = { shrinkag: 0.2 }
    await expect(createRouter({ ...given, options })).rejects.toThrow(/"shrinkage"\?/)
    await expect(createRouter({ experts, examples })).rejects.toThrow(/needs vectors of prompts/)
    const twice = [...experts, { name: 'sql' }]
    await expect(createRouter({ ...given, experts: twice })).rejects.toThrow(/two experts/)
    await expect(createRouter({ ...given, experts: [] })).rejects.toThrow(/no experts/)
    const { save } = await createRouter({ ...given, kind: 'keyword' })
    expect(save).toBeTypeOf('function')
  })
  it('refuses a router of other experts, or of experts whose content changed', async () => {
    const hashed = experts.map(({ name }, i) => ({ name, sha256: String(i).repeat(64) }))
    const file = (await createRouter({ ...given, experts: hashed, kind: 'keyword' })).save()
    await expect(createRouter({ file, experts: hashed.slice(1) })).rejects.toThrow(MismatchError)
    await expect(createRouter({ file, experts: hashed.slice(1) })).rejects.toThrow(/no such expert/)
    const changed = [{ name: hashed[0]!.name, sha256: 'f'.repeat(64) }, ...hashed.slice(1)]
    await expect(createRouter({ file, experts: changed })).rejects.toThrow(/content ffffffffffff…/)
    const more = [...hashed, { name: 'another' }]
    expect((await createRouter({ file, experts: more })).experts).toHaveLength(4)
    await expect(createRouter({ file, kind: 'keyword' } as never)).rejects.toThrow(
      /trained or read/,
    )
  })
  it('refuses a broken file, and one of a newer version', async () => {
    const file = (await createRouter({ ...given, kind: 'keyword' })).save()
    const open = (broken: object) => createRouter({ file: broken as RouterFile })
    await expect(open({ ...file, version: 2 })).rejects.toThrow(UnsupportedError)
    await expect(open({ ...file, format: 'other' })).rejects.toThrow(FormatError)
    await expect(open({ ...file, exprts: [] })).rejects.toThrow(/Did you mean "experts"\?/)
    await expect(open({ ...file, experts: [{ name: 'a' }, { name: 'a' }] })).rejects.toThrow(
      /two experts have the name "a"/,
    )
    await expect(open({})).rejects.toThrow(/format: is missing.*state: is missing/s)
    await expect(open({ ...file, kind: 'other' })).rejects.toThrow(OptionError)
  })
  it('writes files that the published schema accepts', async () => {
    const path = new URL('../../schemas/router.schema.json', import.meta.url)
    const schema = createRouterJsonSchema()
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(JSON.parse(JSON.stringify(schema)))
    const validate = new Ajv({ strict: false }).compile(schema)
    for (const kind of routerKinds.keys()) {
      if (!['keyword', 'embedding', 'cascade', 'hierarchical', 'fixed', 'tasks'].includes(kind))
        continue
      const file = (await createRouter({ ...given, kind })).save()
      expect([kind, validate(JSON.parse(JSON.stringify(file))), validate.errors]).toEqual([
        kind,
        true,
        null,
      ])
    }
  })
})

describe('a cascade', () => {
  it('stops at the first stage that is sure, and reports which one decided', async () => {
    const counted = createWordEmbedder()
    const router = await createRouter({ ...given, embedder: counted, kind: 'cascade' })
    const before = counted.calls
    const sure = await router.decide({ text: 'please show me the playlist and the album' })
    expect([sure.expert, sure.by, counted.calls]).toEqual(['music', 'keyword', before])
    const unsure = await router.decide({ text: 'something else entirely, of which nobody knows' })
    expect([unsure.by, counted.calls]).toEqual(['embedding', before + 1])
  })
  it('refuses a cascade within a cascade and an unknown kind', async () => {
    const train = (stages: object[]) =>
      createRouter({ ...given, kind: 'cascade', options: { stages } })
    await expect(train([{ kind: 'keyword' }, { kind: 'cascade' }])).rejects.toThrow(OptionError)
    await expect(train([{ kind: 'keywrd' }, { kind: 'embedding' }])).rejects.toThrow(/"keyword"\?/)
    await expect(train([{ kind: 'keyword' }])).rejects.toThrow(/at least 2/)
  })
})

describe('a hierarchical router', () => {
  it('takes the clusters that it is given', async () => {
    const clusters = { life: ['music', 'weather'], work: ['sql', 'maths'] }
    const router = await createRouter({ ...given, kind: 'hierarchical', options: { clusters } })
    const { expert, reason } = await router.decide({ text: 'give me the storm and the rain' })
    expect([expert, reason]).toEqual(['weather', expect.stringMatching(/belongs to life/)])
    const clues = await router.explain!({ text: 'give me the storm and the rain' })
    expect(clues.some(({ kind, text }) => kind === 'cluster' && text === 'life')).toBe(true)
  })
  it('refuses clusters that leave out an expert, name one twice, or one that is not there', async () => {
    const clusters = { a: ['music', 'sql'], b: ['music', 'wether', 'maths'], c: [] }
    const made = createRouter({ ...given, kind: 'hierarchical', options: { clusters } })
    await expect(made).rejects.toThrow(
      /"weather" is in no cluster; there is no expert "wether"; "music" is in two clusters; the cluster "c" is empty/,
    )
  })
})

describe('the base’s own layers as vectors', async () => {
  const model = await loadModel('stories260k')
  afterAll(() => model.dispose())

  it('route, with the same vectors in any batch, and for this base alone', async () => {
    const router = await createRouter({ experts, examples, model, vectors: { layers: [2] } })
    const tests = createExamples(10, 7)
    const decisions = await Promise.all(tests.map(({ text }) => router.decide({ text })))
    const right = decisions.filter(({ expert }, i) => expert === tests[i]!.expert)
    expect(right.length / tests.length).toBeGreaterThan(0.6)
    const file = router.save()
    expect(file.base).toEqual({ id: 'stories260k', sha256: await model.base.identity() })
    expect(file.embedder!.settings).toEqual({
      layers: [2],
      pooling: ['mean'],
      terms: 1024,
      maxTokens: 256,
      products: 'int8',
    })
    const again = await createRouter({ file, model, experts })
    const { text } = tests[0]!
    expect((await again.decide({ text })).confidence).toBeCloseTo(decisions[0]!.confidence, 3)
    const { products, ...rest } = file.embedder!.settings as Record<string, unknown>
    const older = { ...file, embedder: { ...file.embedder!, settings: rest } }
    const fromOlder = (await createRouter({ file: older, model, experts })).save()
    expect([products, fromOlder.embedder!.settings]).toEqual(['int8', rest])
    const other = { ...file, base: { id: 'other', sha256: 'e'.repeat(64) } }
    await expect(createRouter({ file: other, model })).rejects.toThrow(/another base/)
    await expect(createRouter({ file })).rejects.toThrow(/give a model/)
    await expect(
      createRouter({ experts, examples, model, vectors: { layers: [9] } }),
    ).rejects.toThrow(/from 1 to 4/)
  })
})

describe('kinds that ask the base', () => {
  it('get the model’s backend, states and weights by createRouter, and are read again', async () => {
    const model = await loadModel('stories260k')
    const adapters = [1, 2].map((seed) =>
      initializeAdapter('lora', { rank: 2, targets: ['q_proj'] }, model.base.graph, { seed }),
    )
    const tuned = adapters.map((adapter, i) => ({
      name: `expert-${i}`,
      adapter: {
        ...adapter,
        tensors: new Map(
          [...adapter.tensors].map(([key, { shape, data }]) => [
            key,
            f32(
              shape,
              (data as Float32Array).map((value, k) => value + ((k + i) % 3) / 10),
            ),
          ]),
        ),
      },
    }))
    const asked = await createRouter({
      kind: 'arrow',
      model,
      experts: tuned,
      options: { layers: 5 },
    })
    const again = await createRouter({ file: asked.save(), model })
    const request = { text: 'Once upon a time' }
    expect((await again.decide(request)).scores).toEqual((await asked.decide(request)).scores)
    const options = { kind: 'policy', options: { buckets: 256, width: 8, hidden: 8, epochs: 2 } }
    const mixed = await createRouter({ kind: 'mixture', model, experts, examples, options })
    expect((await mixed.decide({ text: examples[0]!.text })).confidence).toBeGreaterThan(0)
    await model.dispose()
  }, 60_000)
})

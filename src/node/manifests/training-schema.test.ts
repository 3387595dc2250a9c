import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { root } from '../../../test/support/sources.ts'
import { createTrainingJsonSchema, findManifestProblems } from '../../manifest/training-schema.ts'
import { settingTable } from '../../train/options/setting-table.ts'
import { applyOverride } from './manifest-file.ts'
import { collectManifestTables, settingSections } from './manifest-tables.ts'

const tables = collectManifestTables()
const messages = (value: unknown): string[] =>
  findManifestProblems(value, tables).map(({ path, message }) => `${path.join('.')}: ${message}`)
const data = { files: 'rows.jsonl' }

interface Schema {
  readonly properties: Readonly<Record<string, Schema>>
  readonly anyOf: readonly [
    { readonly enum: readonly string[] },
    { readonly oneOf: readonly Schema[] },
    unknown?,
  ]
  readonly required?: readonly string[]
  readonly const?: string
  readonly additionalProperties?: unknown
}

describe('the published schema', () => {
  it('is what the tables make: npm run build -- --schema', () => {
    const published = readFileSync(join(root, 'schemas', 'training.schema.json'), 'utf8')
    expect(JSON.parse(published)).toEqual(
      JSON.parse(JSON.stringify(createTrainingJsonSchema(tables))),
    )
  })
  it('offers every kind with its options, and no other key', () => {
    const schema = createTrainingJsonSchema(tables) as Schema
    const kinds = schema.properties['kind']!.anyOf
    expect(kinds[0].enum).toEqual([...tables.kinds.keys()])
    expect(kinds[2]).toMatchObject({ type: 'array', minItems: 2 })
    const lora = kinds[1].oneOf.find(({ properties }) => properties['name']!.const === 'lora')!
    expect(lora.properties['rank']).toMatchObject({ type: 'integer', minimum: 1 })
    expect(lora.required ?? []).not.toContain('name') // it is the usual one
    expect([schema.additionalProperties, lora.additionalProperties]).toEqual([false, false])
    expect(schema.anyOf).toEqual([
      { required: ['data'], properties: { data: { required: ['files'] } } },
      { required: ['role'] },
    ])
  })
})

describe('a manifest', () => {
  it('needs data alone, and takes rows of tables by name or with options', () => {
    expect(messages({ data })).toEqual([])
    expect(
      messages({ data, kind: 'ia3', schedule: 'linear', optimizer: 'lion', loss: 'cross-entropy' }),
    ).toEqual([])
    expect(
      messages({
        data,
        kind: { rank: 4 },
        schedule: { epochs: 2 },
        optimizer: { weightDecay: 0.1 },
      }),
    ).toEqual([])
    expect(
      messages({
        data,
        kind: { name: 'dora', rank: 4 },
        schedule: { name: 'one-cycle', endDivisor: 10 },
      }),
    ).toEqual([])
  })
  it('needs no data where it names a role', () => {
    expect(messages({ role: 'coder' })).toEqual([])
    expect(messages({ role: 'coder', data: { validation: 0.1 }, kind: { rank: 4 } })).toEqual([])
    expect(messages({ role: 'codr' })).toEqual([
      expect.stringMatching(/^role: got "codr", expected "coder", .*Did you mean coder\?$/),
    ])
  })
  it('has a place for every setting of a run', () => {
    expect(Object.keys(settingSections).sort()).toEqual(Object.keys(settingTable).sort())
  })
  it('describes options by the row that they belong to', () => {
    expect(messages({ data, schedule: { name: 'linear', endDivisor: 10 } })[0]).toMatch(
      /^schedule\.endDivisor: there is no such key, expected one of name, /,
    )
    expect(messages({ data, kind: { name: 'ia3', rank: 4 } })[0]).toMatch(
      /^kind\.rank: there is no such key/,
    )
  })
  it('is checked whole where the name of a row is wrong', () => {
    expect(messages({ data, schedule: { name: 'cosin', epochs: 0, power: 2 } })).toEqual([
      expect.stringMatching(/^schedule\.name: got "cosin", .*Did you mean cosine\?$/),
      'schedule.epochs: got 0, expected an integer ≥ 1',
    ])
  })
  it.each([
    [null, ': is empty, expected a map with base, out'],
    [{}, 'data: is missing, expected a map with files'],
    [{ data: null }, 'data: is empty, expected a map with files'],
    [{ data: { files: [] } }, 'data.files: got [], expected a path, or a list of paths'],
    [
      { data: { ...data, validation: 1 } },
      'data.validation: got 1, expected a number above 0 and below 1 or a path',
    ],
    [{ data: { ...data, format: 'chat' } }, 'data.format: got "chat", expected '],
    [
      { data, targets: 3 },
      'targets: got 3, expected default, attention, mlp, all-linear, a list of names',
    ],
    [{ data, kind: 'loar' }, 'kind: got "loar", expected one of '],
    [{ data, optimizer: 3 }, 'optimizer: got 3, expected one of adamw'],
    [
      { data, checkpointing: 'yes' },
      'checkpointing: got "yes", expected true or false or an integer ≥ 1',
    ],
    [{ data, evaluation: {} }, 'evaluation.metrics: is missing, expected a list'],
    [{ data, seed: 0.5 }, 'seed: got 0.5, expected an integer'],
    [{ data, ewc: { lambda: -1 } }, 'ewc.lambda: '],
  ])('%j is refused in one sentence', (value, message) => {
    const said = messages(value)
    expect(said).toHaveLength(1)
    expect(said[0]).toContain(message)
  })
})

describe('laying values over a manifest', () => {
  it('keeps the other keys', () => {
    const manifest = { batch: { rows: 2 }, kind: 'lora' }
    applyOverride(manifest, { key: 'batch.tokens', value: 64 })
    applyOverride(manifest, { key: 'kind.rank', value: 2 })
    applyOverride(manifest, { key: 'seed', value: 1 })
    expect(manifest).toEqual({
      batch: { rows: 2, tokens: 64 },
      kind: { name: 'lora', rank: 2 },
      seed: 1,
    })
  })
})

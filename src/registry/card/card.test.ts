// Cards for the hub: what is written, and what of hostile ones is refused.

import { parse } from 'yaml'
import { describe, expect, it } from 'vitest'
import { FormatError } from '../../base/errors.ts'
import { createTestManifest } from '../registry.contract.ts'
import { formatModelCard } from './format-card.ts'
import { readModelCard } from './read-card.ts'

const readHead = (card: string): unknown => parse(/^---\n([\s\S]*?)\n---\n/.exec(card)![1]!)

describe('a card', () => {
  it('has the fields from which the hub builds the tree of a base', () => {
    const manifest = createTestManifest({
      kind: 'dora',
      license: 'Apache-2.0',
      tags: ['sql', 'graft'],
      data: [{ name: 'owner/rows', rows: 10, license: 'CC0-1.0' }],
      scores: {
        'exact-match': { value: 0.8, low: 0.7, high: 0.9, rows: 200, data: 'owner/test' },
        perplexity: { value: 3.25 },
      },
    })
    const card = formatModelCard(manifest, { baseModel: 'HuggingFaceTB/SmolLM2-135M-Instruct' })
    expect(readHead(card)).toEqual({
      base_model: 'HuggingFaceTB/SmolLM2-135M-Instruct',
      base_model_relation: 'adapter',
      library_name: 'peft',
      pipeline_tag: 'text-generation',
      license: 'apache-2.0',
      datasets: ['owner/rows'],
      tags: ['base_model:adapter:HuggingFaceTB/SmolLM2-135M-Instruct', 'dora', 'graft', 'sql'],
      'model-index': [
        {
          name: 'coder',
          results: [
            {
              task: { type: 'text-generation' },
              dataset: { name: 'owner/test', type: 'owner/test' },
              metrics: [
                {
                  type: 'exact-match',
                  value: 0.8,
                  name: 'exact-match, 95 % interval 0.7 to 0.9, 200 rows',
                },
              ],
            },
            {
              task: { type: 'text-generation' },
              dataset: { name: 'rows that were held out', type: 'custom' },
              metrics: [{ type: 'perplexity', value: 3.25, name: 'perplexity' }],
            },
          ],
        },
      ],
    })
    expect(card).toContain('| exact-match | 0.8 | 0.7 to 0.9 | 200 | owner/test |')
  })

  it('names no base that the hub cannot have, and a licence that it does not know', () => {
    const head = readHead(
      formatModelCard(createTestManifest({ license: 'My: own # licence' }), {
        baseModel: '/home/me/model.gguf',
      }),
    )
    expect(head).not.toHaveProperty('base_model')
    expect(head).toMatchObject({ license: 'other', license_name: 'My: own # licence' })
  })

  it('keeps texts as texts, whatever they hold', () => {
    const hostile = 'a"\n---\nlicense: mit\n: &x *x !!js/function'
    const manifest = createTestManifest({
      license: hostile,
      scores: { '*x: [': { value: 1 } },
      data: [{ name: hostile }],
    })
    expect(readHead(formatModelCard(manifest))).toMatchObject({
      license_name: hostile,
      'model-index': [{ results: [{ metrics: [{ type: '*x: [' }] }] }],
    })
  })

  it('is read back: licence, tags, data sets, scores', async () => {
    const manifest = createTestManifest({
      license: 'MIT',
      tags: ['sql'],
      data: [{ name: 'owner/rows' }],
      scores: { f1: { value: 0.5 } },
    })
    expect(await readModelCard(formatModelCard(manifest, { baseModel: 'a/b' }), 'x')).toEqual({
      baseModel: 'a/b',
      license: 'mit',
      tags: ['lora', 'graft', 'sql'],
      datasets: ['owner/rows'],
      scores: { f1: 0.5 },
    })
  })

  it('without a head, or one that says nothing, is not an error', async () => {
    for (const text of ['', '# Title\n---\na: 1', '---\n---\n', '---\n# a comment\n---\nx'])
      expect(await readModelCard(text, 'x')).toEqual({})
    const template =
      '---\nbase_model: a/b\nlibrary_name: peft\ntags:\n- lora\nlicense: null\n---\n# Model Card\n'
    expect(await readModelCard(template, 'x')).toEqual({ baseModel: 'a/b', tags: ['lora'] })
  })
})

const levels = 1000

describe('a hostile card is refused', () => {
  it.each([
    ['an alias', 'a: &a [x]\nb: [*a, *a]', /an alias/],
    ['a bomb of aliases', 'a: &a [x]\nb: &b [*a,*a]\nc: &c [*b,*b]\ntags: [*c,*c]', /an alias/],
    ['a merge key', 'a: &a {license: x}\n<<: *a', /an alias/],
    ['a tag of a type', 'license: !!js/function "() => 1"', /asks for a custom type/],
    ['a tag of its own', 'license: !evil x', /asks for a custom type/],
    ['a key twice', 'license: a\nlicense: b', /is not YAML: Map keys must be unique/],
    ['keys that are no text', '? [a, b]\n: c', /is not YAML/],
    ['deep brackets', `a: ${'['.repeat(levels)}`, /nests more than/],
    ['deep dashes', `${'- '.repeat(levels)}a`, /nests more than/],
    [
      'deep lines',
      Array.from({ length: 200 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'),
      /nests more than/,
    ],
    ['what is not YAML', 'a: "b', /is not YAML/],
    ['a list', '- a', /expected keys/],
    ['other types', 'license: {a: 1}\ntags: 5', /license: got .*\n.*tags: got/s],
    ['control codes', 'license: "a\\u0007b"', /license: got/],
    ['too much', `a: ${'x'.repeat(2 ** 18)}`, /expected at most/],
  ])('%s', async (_, head, message) => {
    const begun = performance.now()
    const reading = readModelCard(`---\n${head}\n---\ntext`, 'card')
    await expect(reading).rejects.toThrow(FormatError)
    await expect(reading).rejects.toThrow(message)
    expect(performance.now() - begun).toBeLessThan(5000)
  })

  it('and leaves the prototype of objects alone', async () => {
    await readModelCard('---\n__proto__:\n  license: x\n---\n', 'card')
    expect({}).not.toHaveProperty('license')
  })
})

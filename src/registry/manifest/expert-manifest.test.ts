import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { Ajv } from 'ajv'
import { FormatError, UnsupportedError } from '../../base/errors.ts'
import {
  createExpertJsonSchema,
  findExpertProblems,
  formatExpertManifest,
  parseExpertManifest,
} from './expert-manifest.ts'

const least = {
  layout: 1,
  id: 'coder',
  version: '1.2.0',
  kind: 'lora',
  base: { id: 'stories260k' },
}

describe('an expert’s manifest', () => {
  it('is read as it was written, with its keys in order', () => {
    const manifest = {
      base: { id: 'stories260k', sha256: 'a'.repeat(64) },
      kind: ['ia3', 'prompt-tuning'],
      scores: { exact_match: { value: 0.5, low: 0.4, high: 0.6, rows: 100 } },
      data: [{ name: 'snips', rows: 160, license: 'CC0-1.0' }],
      tier: 'ultralight' as const,
      custom: { anything: [1, { deep: true }] },
      layout: 1,
      id: 'coder',
      version: '1.2.0-rc.1',
    }
    const text = formatExpertManifest(manifest)
    expect(parseExpertManifest(text, 'expert.json')).toEqual(manifest)
    expect(Object.keys(JSON.parse(text)).slice(0, 3)).toEqual(['layout', 'id', 'version'])
  })

  it.each([
    [{}, /layout: is missing.*id: is missing.*version: is missing.*kind: is missing.*base/s],
    [{ ...least, colour: 'red' }, /there is no key "colour"/],
    [{ ...least, descripton: 'x' }, /Did you mean "description"\?/],
    [{ ...least, id: '../up' }, /id: got "\.\.\/up"/],
    [{ ...least, id: 'a\nb' }, /id: got/],
    [{ ...least, version: '1.2' }, /version: got "1\.2"/],
    [{ ...least, version: '01.2.3' }, /version: got/],
    [{ ...least, description: 'a\u001b[31mb' }, /description: got/],
    [{ ...least, base: {} }, /base: expected an id or a sha256/],
    [{ ...least, base: { sha256: 'xyz' } }, /base\.sha256: got "xyz"/],
    [{ ...least, scores: { f1: { low: 0 } } }, /scores\.f1\.value: is missing/],
    [{ ...least, data: [{ rows: 1 }] }, /data\[0\]\.name: is missing/],
    [{ ...least, tier: 'medum' }, /Did you mean "medium"\?/],
    [{ ...least, created: 'yesterday' }, /created: got/],
    [{ ...least, chatTemplate: '../x.jinja' }, /chatTemplate: got/],
    [[], /expected an object/],
  ])('%j is refused', (value, message) => {
    const parse = () => parseExpertManifest(JSON.stringify(value), 'expert.json')
    expect(parse).toThrow(FormatError)
    expect(parse).toThrow(message)
  })

  it('of a newer layout, without JSON or of a megabyte is refused', () => {
    const read = (text: string) => () => parseExpertManifest(text, 'expert.json')
    expect(read(JSON.stringify({ ...least, layout: 2 }))).toThrow(UnsupportedError)
    expect(read('{"layout":1')).toThrow(/is not JSON/)
    expect(read('{"id":1,"id":2}')).toThrow(FormatError)
    expect(read(' '.repeat(2 ** 20 + 1))).toThrow(/at most 1048576/)
  })

  it('has a schema for editors that agrees, published as it is', () => {
    const schema = createExpertJsonSchema()
    const path = new URL('../../../schemas/expert.schema.json', import.meta.url)
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(JSON.parse(JSON.stringify(schema)))
    const validate = new Ajv({ strict: false, formats: { 'date-time': true } }).compile(schema)
    expect([validate(least), findExpertProblems(least)]).toEqual([true, []])
    expect(validate({ ...least, colour: 'red' })).toBe(false)
    expect(validate({ ...least, version: '1.2' })).toBe(false)
  })
})

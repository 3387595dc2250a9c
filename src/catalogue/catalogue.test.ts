import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { NotFoundError } from '../base/errors.ts'
import { catalogue, getCatalogueEntry } from './catalogue.ts'

describe('the catalogue of base models', () => {
  it.each([...catalogue])('has what is needed of %s', (name, entry) => {
    expect(entry.name).toBe(name)
    expect(entry.license).toMatch(/^(MIT|Apache-2\.0)$/)
    expect(entry.sources.length).toBeGreaterThan(0)
    const wheels = entry.sources.filter((source) => source.kind === 'wheel')
    expect(wheels.filter(({ sha256 }) => !/^[0-9a-f]{64}$/.test(sha256))).toEqual([])
    const embedded = entry.sources.filter((source) => source.kind === 'embedded')
    // without it the file names replace the last part
    expect(embedded.filter(({ directory }) => !directory.href.endsWith('/'))).toEqual([])
  })

  it('carries stories260k whole, with its licence', () => {
    const source = getCatalogueEntry('stories260k').sources[0]!
    const directory = source.kind === 'embedded' ? source.directory : undefined
    expect(readdirSync(directory!).sort()).toEqual(
      [
        'LICENSE',
        'SOURCE.md',
        'config.json',
        'generation_config.json',
        'model.safetensors',
        'tokenizer.json',
        'tokenizer_config.json',
      ].sort(),
    )
    expect(readFileSync(new URL('LICENSE', directory), 'utf8')).toMatch(/^MIT License/)
  })

  it('lists its names where one is not there', () => {
    expect(() => getCatalogueEntry('gpt-5')).toThrow(NotFoundError)
    expect(() => getCatalogueEntry('gpt-5')).toThrow(/stories260k, smollm2-135m-instruct/)
  })
})

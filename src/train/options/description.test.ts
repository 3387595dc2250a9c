import { describe, expect, it } from 'vitest'
import { findOptionProblems } from '../../base/schema.ts'
import { descriptionTable, readDescription, toDescriptionMetadata } from './description.ts'

const whole = {
  name: 'mail-sorter',
  description: 'Sorts mail.',
  tags: ['mail', 'labels'],
  version: '1.2.0',
  author: 'A. Person',
  license: 'Apache-2.0',
}

describe('the description of an adapter', () => {
  it('comes back from the texts of a header, without their other entries', () => {
    const metadata = { ...toDescriptionMetadata(whole), data_sha256: '00' } as Record<
      string,
      string
    >
    expect(metadata['tags']).toBe('mail labels')
    expect(readDescription(metadata)).toEqual(whole)
    expect(readDescription({ data_sha256: '00' })).toEqual({})
  })
  it.each([
    [{ name: 'two words' }, 'name: got "two words", expected letters'],
    [{ tags: ['a b'] }, 'tags: got ["a b"], expected '],
    [{ licence: 'MIT' }, 'there is no option "licence". Did you mean "license"?'],
    [{ version: 2 }, 'version: got 2, expected '],
  ])('refuses %j', (given, message) => {
    const problems = findOptionProblems(given, descriptionTable)
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(message)
  })
})

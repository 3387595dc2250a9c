// An adapter's description: name, description, tags, version, author, licence. They are stored as
// texts in the header of its tensor file. They contain no times, because two runs with the same
// seed and data must write the same bytes.

import { namePattern } from '../../adapters/adapter-config.ts'
import type { AdapterMetadata } from '../../adapters/adapter.ts'
import { createField, type GivenOptions, listOf, string } from '../../base/schema.ts'

const declareName = (about: string) =>
  createField<string, { about: string }>(
    'letters, digits, ".", "_" and "-"',
    { type: 'string', pattern: namePattern.source },
    (value) => typeof value === 'string' && namePattern.test(value),
    { about },
  )

export const descriptionTable = {
  name: declareName('the name that the adapter has wherever it goes'),
  description: string({ filled: true, about: 'what the adapter is for, in a sentence' }),
  tags: listOf(declareName('one word'), { about: 'words to find the adapter by' }),
  version: string({ filled: true, about: 'the version of the adapter, such as 1.2.0' }),
  author: string({ filled: true, about: 'who trained the adapter' }),
  license: string({
    filled: true,
    about: 'the licence that the adapter is under, such as Apache-2.0',
  }),
}

/** See descriptionTable for what each entry means. */
export type AdapterDescription = GivenOptions<typeof descriptionTable>

/** A description as in the header of a tensor file: strings, tags separated by spaces. */
export const toDescriptionMetadata = ({
  tags,
  ...texts
}: AdapterDescription): Record<string, string | undefined> => ({
  ...texts,
  tags: tags === undefined || tags.length === 0 ? undefined : tags.join(' '),
})

/** The adapter's metadata in the header of a tensor file; other entries are left out. */
export function readDescription(metadata: AdapterMetadata = {}): AdapterDescription {
  const entries = Object.keys(descriptionTable).flatMap((name): [string, unknown][] => {
    const text = metadata[name]
    if (text === undefined || text === '') return []
    return [[name, name === 'tags' ? text.split(' ') : text]]
  })
  return Object.fromEntries(entries)
}

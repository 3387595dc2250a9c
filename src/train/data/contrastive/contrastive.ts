// Texts that belong together and texts that do not: { "anchor": "…", "positive": "…" }, with
// "negative" where hard negatives are known. The names are those of sentence-transformers, and
// FlagEmbedding's "query", "pos" and "neg". No chat template is applied.

import { type ContrastiveExample, type DataFormat, type DataRecord } from '../data-format.ts'

const anchorKeys = ['anchor', 'query'] as const
const positiveKeys = ['positive', 'positives', 'pos'] as const
/** Columns as sentence-transformers' mine_hard_negatives writes them: 'negative_1', … */
const numberedKeys = Array.from({ length: 100 }, (_, i) => `negative_${i + 1}`)
const negativeKeys = ['negative', 'negatives', 'neg', ...numberedKeys]

const hasKey = (row: DataRecord, keys: readonly string[]): boolean =>
  keys.some((key) => row[key] !== undefined && row[key] !== null)

/**
 * The texts under a key, a single string being a list of one; the problem if it contains others.
 */
function readTexts(row: DataRecord, key: string): readonly string[] | string {
  const value = row[key]
  const texts: unknown[] = Array.isArray(value) ? value : [value]
  const wrong = texts.find((text) => typeof text !== 'string' || text === '')
  if (wrong === undefined && texts.length > 0) return texts as string[]
  if (texts.length === 0 || wrong === '') return `"${key}" is empty`
  return `"${key}" must be a string or a list of strings, got ${JSON.stringify(wrong).slice(0, 40)}`
}

/** The texts under the one name that the row uses of several. */
function readNamed(row: DataRecord, keys: readonly string[]): readonly string[] | string {
  const given = keys.filter((key) => hasKey(row, [key]))
  if (given.length > 1)
    return `"${given[0]}" and "${given[1]}" are two names of one thing; give one of them`
  return given.length === 0 ? `"${keys[0]}" is missing` : readTexts(row, given[0]!)
}

const isListed = (row: DataRecord, key: string): boolean =>
  hasKey(row, [key]) && !(Array.isArray(row[key]) && row[key].length === 0)

/** All hard negatives of a row: of one name, or in numbered columns. */
function readNegatives(row: DataRecord): readonly string[] | string {
  const found: string[] = []
  for (const key of negativeKeys.filter((one) => isListed(row, one))) {
    const texts = readTexts(row, key)
    if (typeof texts === 'string') return texts
    found.push(...texts)
  }
  return found
}

function read(row: DataRecord): ContrastiveExample | string {
  const anchors = readNamed(row, anchorKeys)
  if (typeof anchors === 'string') return anchors
  const [anchor] = anchors
  if (anchors.length > 1 || anchor === undefined) return 'a row has one anchor, and this has a list'
  const positives = readNamed(row, positiveKeys)
  if (typeof positives === 'string') return positives
  const negatives = readNegatives(row)
  if (typeof negatives === 'string') return negatives
  if (positives.some((text) => negatives.includes(text)))
    return 'a text is given as a positive and as a negative'
  return { kind: 'contrastive', anchor, positives, negatives }
}

export const contrastive: DataFormat = {
  name: 'contrastive',
  syntax: '{ "anchor": "…", "positive": "…", "negative": "…" }',
  keys: new Set([...anchorKeys, ...positiveKeys, ...negativeKeys]),
  matches: (row) => hasKey(row, anchorKeys) && hasKey(row, positiveKeys),
  read,
}

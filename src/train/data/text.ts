// Plain text: { "text": "…" }. All of it is learned.

import { findTextProblem, type DataFormat } from './data-format.ts'

/**
 * Keys that describe a text and may be present. Any other key could be an answer that would
 * silently not be learned.
 */
const descriptive = new Set([
  'id',
  'meta',
  'metadata',
  'source',
  'url',
  'title',
  'timestamp',
  'date',
  'language',
  'license',
  'added',
  'weight',
  'quality',
  'index',
  'idx',
  '__index_level_0__', // the index of a pandas table
])

export const text: DataFormat = {
  name: 'text',
  syntax: '{ "text": "…" }',
  keys: new Set(['text']),
  describing: descriptive,
  matches: (row) => 'text' in row,
  read: (row) =>
    findTextProblem(row, 'text', 'not empty') ?? { kind: 'text', text: row['text'] as string },
}

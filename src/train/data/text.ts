// Plain text: { "text": "…" }. All of it is learned.

import { findTextProblem, type DataFormat } from './data-format.ts'

/**
 * Keys that describe a text and may stand beside it. Any other key could be an answer that would
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
])

export const text: DataFormat = {
  name: 'text',
  syntax: '{ "text": "…" }',
  matches: (row) =>
    'text' in row && Object.keys(row).every((key) => key === 'text' || descriptive.has(key)),
  read: (row) =>
    findTextProblem(row, 'text', 'not empty') ?? { kind: 'text', text: row['text'] as string },
}

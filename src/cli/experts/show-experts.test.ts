import { expect, it } from 'vitest'
import { createTestManifest } from '../../registry/registry.contract.ts'
import { listExpertRows, toManifestLines } from './show-experts.ts'

it('texts of a hostile manifest forge no lines and send no codes to a terminal', () => {
  const manifest = createTestManifest({
    description: 'good\nother  9.9.9',
    system: '\u001b[2Jx\u009b31m',
    custom: { note: '\u009b31m' },
  })
  const expert = {
    id: 'coder',
    version: '1.0.0',
    hash: '0'.repeat(64),
    sizeBytes: 1,
    addedAt: '2026-11-30T09:00:00Z',
    tags: [],
    channels: [],
    manifest,
    location: 'x',
  }
  const shown = [...listExpertRows([expert]).flat(), ...toManifestLines(expert)]
  expect(shown.filter((line) => /\p{Cc}/u.test(line))).toEqual([])
  expect(shown.join('\n')).toContain('good other  9.9.9')
  expect(shown.join('\n')).toContain('\\u001b[2Jx\\u009b31m')
})

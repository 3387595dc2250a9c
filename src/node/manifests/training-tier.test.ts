// What a tier means in a training manifest: kind, rank and layers, each unless it is given.

import { describe, expect, it } from 'vitest'
import { resolveTrainingRun } from './training-run.ts'

const resolve = async (manifest: object) =>
  (await resolveTrainingRun({ out: 'x', data: { files: 'a.jsonl' }, ...manifest })).options.adapter

describe('a tier', () => {
  it.each([
    [{ tier: 'medium' }, { kind: 'dora', config: { rank: 12, targets: 'attention' } }],
    [{ tier: 'sql' }, { kind: 'dora', config: { rank: 16, targets: 'attention' } }],
    [{ tier: 'json' }, { kind: 'ia3+prompt-tuning', config: {} }],
    [
      { tier: 'sql', kind: { rank: 8 }, targets: ['q_proj'] },
      { kind: 'dora', config: { rank: 8, targets: ['q_proj'] } },
    ],
    [
      { tier: 'heavy', kind: 'lora' },
      { kind: 'lora', config: { rank: 24, targets: 'attention' } },
    ],
    [
      { tier: 'medium', role: 'reviewer' },
      { kind: 'dora', role: 'reviewer', config: { rank: 12, targets: 'attention' } },
    ],
    [{}, { kind: 'lora', config: { rank: 16, targets: 'all-linear' } }],
  ])('%j is %j', async (manifest, adapter) => {
    expect(await resolve(manifest)).toEqual(adapter)
  })
})

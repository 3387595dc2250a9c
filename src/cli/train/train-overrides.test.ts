import { describe, expect, it } from 'vitest'
import { applyOverride } from '../../node/manifests/manifest-file.ts'
import { losses } from '../../train/losses/loss-table.ts'
import { optimizers } from '../../train/optimizers/optimizer-table.ts'
import { schedules } from '../../train/schedules/schedule-table.ts'
import { settingTable } from '../../train/options/setting-table.ts'
import { type OptionSpec, UsageError } from '../command.ts'
import { parseTargets } from '../shared/parse-targets.ts'
import type { TrainValues } from './train-option-table.ts'
import { trainOptions } from './train-options.ts'
import { toOverrides } from './train-overrides.ts'

const none = Object.fromEntries(
  Object.entries<OptionSpec>(trainOptions).map(([name, { schema }]) => [
    name,
    schema['type'] === 'boolean' ? false : undefined,
  ]),
) as unknown as TrainValues
const context = { presets: ['attention'], at: (path: string) => `/typed/${path}` }
const manifestOf = (
  values: Partial<TrainValues>,
  before: Record<string, unknown> = {},
): Record<string, unknown> => {
  const manifest = structuredClone(before)
  for (const override of toOverrides({ ...none, ...values }, context))
    applyOverride(manifest, override)
  return manifest
}

describe('the options of graft train', () => {
  it('name all losses, optimisers and schedules there are', () => {
    expect(trainOptions.optimizer.schema['enum']).toEqual([...optimizers.keys()])
    expect(trainOptions.schedule.schema['enum']).toEqual([...schedules.keys()])
    expect(trainOptions.loss.schema['enum']).toEqual([...losses.keys()])
  })
  it("say the library's defaults, and set none of their own over a manifest's", () => {
    const {
      epochs,
      accumulation,
      optimizer,
      schedule,
      clip,
      seed,
      minimumDelta,
      divergenceFactor,
    } = settingTable
    const shared = {
      epochs,
      accumulation,
      optimizer,
      schedule,
      clip,
      seed,
      'min-delta': minimumDelta,
      divergence: divergenceFactor,
    }
    for (const [name, spec] of Object.entries(shared))
      expect(trainOptions[name as keyof typeof shared].about).toContain(`default: ${spec.default}`)
    expect(Object.values(trainOptions).filter((spec) => 'default' in spec)).toEqual([])
    expect(manifestOf({})).toEqual({})
  })
  it('become keys of a manifest, paths from where they were typed', () => {
    const values = {
      data: 'rows.jsonl',
      rank: 4,
      rslora: true,
      epochs: 2,
      'batch-rows': 1,
      targets: 'q_proj, v_proj',
      'train-tokens': '259, 7',
      validation: '0.1',
    }
    expect(manifestOf(values)).toEqual({
      data: { files: '/typed/rows.jsonl', validation: 0.1 },
      kind: { rank: 4, rankStabilized: true, trainableTokens: [259, 7] },
      schedule: { epochs: 2, steps: undefined },
      batch: { rows: 1 },
      targets: ['q_proj', 'v_proj'],
    })
    expect(
      manifestOf({
        'schedule-options': 'power=2',
        'optimizer-options': 'beta2=0.99',
        schedule: 'polynomial',
      }),
    ).toEqual({
      schedule: { name: 'polynomial', power: 2 },
      optimizer: { beta2: 0.99 },
    })
  })
  it('count before a manifest: options are added to a choice, another kind drops the options of the old one', () => {
    const before = {
      kind: { name: 'lora', rank: 16 },
      schedule: 'cosine',
      data: { files: 'a.jsonl', system: 'Be brief.' },
    }
    expect(manifestOf({ rank: 4, 'learning-rate': 0.01, data: 'b.jsonl' }, before)).toEqual({
      kind: { name: 'lora', rank: 4 },
      schedule: { name: 'cosine', learningRate: 0.01 },
      data: { files: '/typed/b.jsonl', system: 'Be brief.' },
    })
    expect(manifestOf({ kind: 'ia3' }, before)['kind']).toEqual({ name: 'ia3' })
    expect(manifestOf({ kind: 'lora' }, before)['kind']).toEqual({ name: 'lora', rank: 16 })
  })
  it('name a teacher, alone or as a mixture, in place of the one that was written, and the loss that imitates it', () => {
    expect(manifestOf({ teacher: ['big'], temperature: 2 })).toEqual({
      loss: { name: 'distillation', temperature: 2 },
      teacher: { adapter: '/typed/big', mixture: undefined },
    })
    const before = { loss: { name: 'dpo', beta: 0.3 }, teacher: { adapter: 'old' } }
    expect(manifestOf({ teacher: ['a=0.7,b=0.3'], 'loss-options': 'share=0.5' }, before)).toEqual({
      loss: { name: 'distillation', share: 0.5 },
      teacher: { adapter: undefined, mixture: { '/typed/a': 0.7, '/typed/b': 0.3 } },
    })
    expect(manifestOf({ 'teacher-model': 'larger', loss: 'distillation' })).toEqual({
      loss: { name: 'distillation' },
      teacher: { model: 'larger' },
    })
    expect(manifestOf({ loss: 'dpo', beta: 0.2, reference: 'first' })).toEqual({
      loss: { name: 'dpo', beta: 0.2 },
      reference: '/typed/first',
    })
  })
  it('with epochs take steps that the manifest has', () => {
    const before = { schedule: { steps: 500 } }
    expect(manifestOf({ epochs: 2 }, before)['schedule']).toEqual({ epochs: 2, steps: undefined })
    expect(manifestOf({ epochs: 2, steps: 9 }, before)['schedule']).toEqual({ epochs: 2, steps: 9 })
  })
  it('refuse a share of everything', () => {
    expect(() => manifestOf({ validation: '2' })).toThrow(UsageError)
    expect(() => manifestOf({ 'train-tokens': '3,x' })).toThrow('--train-tokens: got "x"')
  })
  it('read targets as a preset, names, or a regular expression', () => {
    expect(parseTargets('attention', ['attention'])).toBe('attention')
    expect(parseTargets('q_proj,v_proj', [])).toEqual(['q_proj', 'v_proj'])
    expect(parseTargets('.*layers.[01].*', [])).toBe('.*layers.[01].*')
  })
})

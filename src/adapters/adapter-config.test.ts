import { describe, expect, it } from 'vitest'
import { OptionError } from '../base/errors.ts'
import { configureAdapter, createFromRecipe } from './adapter-config.ts'
import { createStandaloneModel } from './vectors/model.ts'

const whole = configureAdapter('my_adapter')
  .rank(12)
  .alpha(24)
  .dropout(0.1)
  .targets(['q_proj', 'v_proj'])
  .description('Tries things.')
  .tag('trial')

describe('configureAdapter', () => {
  it('gives a recipe with all settings', () => {
    expect(whole.tag('second', 'third').build()).toEqual({
      name: 'my_adapter',
      kind: 'lora',
      config: { rank: 12, alpha: 24, dropout: 0.1, targets: ['q_proj', 'v_proj'] },
      description: 'Tries things.',
      tags: ['trial', 'second', 'third'],
    })
  })
  it('changes no builder that was there before', () => {
    whole.rank(3).tag('other')
    expect(whole.build().config['rank']).toBe(12)
    expect(whole.build().tags).toEqual(['trial'])
  })
  it('takes other kinds and their options', () => {
    const { kind, config } = configureAdapter('a')
      .kind('dora')
      .rank(4)
      .option('rankStabilized', true)
      .build()
    expect([kind, config]).toEqual(['dora', { rank: 4, rankStabilized: true }])
    expect(() => configureAdapter('a').kind('ia3').rank(4).build()).toThrow(
      /there is no option "rank"/,
    )
  })
  it('reports everything that is wrong at once, and only at build', () => {
    const wrong = configureAdapter('no name')
      .rank(0)
      .alpha(NaN)
      .dropout(1)
      .targets([])
      .option('speed', 3)
      .tag('ok', 'ok', 'not ok')
    expect(() => wrong.build()).toThrow(OptionError)
    for (const part of [
      'name must',
      'rank: got 0',
      'alpha: got',
      'dropout: got 1',
      'targets: got an empty list',
      'there is no option "speed"',
      '"ok" is given twice',
      '"not ok"',
    ])
      expect(() => wrong.build()).toThrow(part)
    expect(() => configureAdapter('a').kind('laura').build()).toThrow(
      /no adapter kind "laura" \(there are/,
    )
  })
  it('makes an adapter that knows its name, description and tags', async () => {
    const adapter = await createFromRecipe(whole.build(), createStandaloneModel(8), { seed: 1 })
    expect(adapter.metadata).toEqual({
      name: 'my_adapter',
      description: 'Tries things.',
      tags: 'trial',
    })
    expect(adapter.tensors.size).toBe(4)
  })
})

import { beforeAll, describe, expect, it } from 'vitest'
import type { ModuleInfo } from '../graph/model-graph.ts'
import { storiesBase } from '../../test/support/adapters.ts'
import { targetPresets, resolvePreset } from './presets.ts'
import { listAdaptableModules } from './adapted-layers.ts'
import {
  createTargetMatcher,
  resolvePatternValue,
  selectTargetModules,
  type TargetChoice,
} from './targets.ts'

let modules: ModuleInfo[]
beforeAll(async () => {
  modules = listAdaptableModules((await storiesBase()).model)
})

const choice = (given: Partial<TargetChoice>): TargetChoice => ({
  targets: [],
  exclude: [],
  layersPattern: [],
  ...given,
})
const hits = (given: Partial<TargetChoice>): string[] =>
  modules.filter(createTargetMatcher(choice(given))).map(({ path }) => path)

describe('targetMatcher', () => {
  it('matches names at the end of a path, whole parts only', () => {
    expect(hits({ targets: ['q_proj'] })).toHaveLength(5)
    expect(hits({ targets: ['self_attn.q_proj', 'proj'] })).toHaveLength(5)
    expect(hits({ targets: ['lm_head'] })).toEqual(['lm_head'])
    expect(hits({ targets: ['embed_tokens'] })).toEqual(['model.embed_tokens'])
  })

  it('matches a regex against the whole path, named groups as Python writes them', () => {
    expect(
      hits({ targets: String.raw`model\.layers\.(?P<n>[01])\.mlp\.(up|down)_proj` }),
    ).toHaveLength(4)
    expect(hits({ targets: 'q_proj' })).toEqual([])
    expect(() => hits({ targets: '(' })).toThrow('"(" is not a regular expression')
  })

  it.each([
    [String.raw`\A.*layers\.0\..*q_proj\Z`, 1],
    [String.raw`(?i).*layers\.0\..*Q_PROJ`, 1],
    [String.raw`.*layers\.(?P<n>0)\.self_attn\.q_proj(?!.*(?P=n))`, 1],
    [String.raw`.*\.0\.(?#attention only)self_attn\..*`, 4],
    [String.raw`.*\.(?i:Q)_proj`, 5],
    [String.raw`.*\.[]q]_proj`, 5],
    [String.raw`model\.layers\.\d{,2}\.self_attn\.q_proj`, 5],
    ['(?x) .* # any\n \\. q_proj', 5],
  ])('reads %s as Python does', (targets, count) => {
    expect(hits({ targets })).toHaveLength(count)
    expect(
      hits({ targets: ['q_proj', 'k_proj', 'v_proj', 'o_proj'], exclude: targets }),
    ).toHaveLength(20 - count)
    const last = resolvePatternValue({ [targets]: 3 }, 'model.layers.0.self_attn.q_proj', 8)
    expect(last).toBe(3)
  })

  it.each(['(?>.*)q_proj', '(a)?(?(1)b|c)', '.*+q_proj', String.raw`\N{BULLET}`, '(?L)q_proj'])(
    'says of %s that only Python can read it',
    (targets) => {
      expect(() => hits({ targets })).toThrow("which only Python's regular expressions have")
    },
  )

  it('leaves out what is excluded, by name or regex', () => {
    expect(hits({ targets: ['q_proj'], exclude: ['layers.0.self_attn.q_proj'] })).not.toContain(
      'model.layers.0.self_attn.q_proj',
    )
    expect(hits({ targets: ['q_proj'], exclude: String.raw`.*\.[1-4]\..*` })).toEqual([
      'model.layers.0.self_attn.q_proj',
    ])
  })

  it('keeps to the layers that are asked for; a whole path is meant whatever they say', () => {
    expect(hits({ targets: ['q_proj'], layers: [1, 4] })).toEqual([
      'model.layers.1.self_attn.q_proj',
      'model.layers.4.self_attn.q_proj',
    ])
    expect(hits({ targets: ['q_proj'], layers: [1], layersPattern: ['layers'] })).toHaveLength(1)
    expect(hits({ targets: ['q_proj'], layers: [1], layersPattern: ['blocks'] })).toEqual([])
    expect(
      hits({ targets: ['q_proj'], layers: [1], layersPattern: ['(?:blocks|layers)'] }),
    ).toHaveLength(1)
    expect(hits({ targets: ['q_proj', 'lm_head'], layers: [2] })).toEqual([
      'model.layers.2.self_attn.q_proj',
      'lm_head',
    ])
  })

  it('takes all-linear as every linear layer but the head', () => {
    expect(hits({ targets: 'all-linear' })).toHaveLength(35)
    expect(hits({ targets: 'all-linear', exclude: ['down_proj'], layers: [0] })).toHaveLength(6)
  })
})

describe('targetModules', () => {
  it('names everything that hits nothing, and what there is, each once', () => {
    expect(() =>
      selectTargetModules(
        choice({ targets: ['q_proj', 'query', 'value'], layers: [4, 5, 6] }),
        modules,
      ),
    ).toThrow(
      'no module is called "query", "value"; there is no layer 5, 6 (the model has 5). The model\'s modules are ' +
        'embed_tokens, q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head.',
    )
    expect(() =>
      selectTargetModules(choice({ targets: ['q_proj'], exclude: ['q_proj'] }), modules),
    ).toThrow('matches no module')
    expect(() => selectTargetModules(choice({ targets: [] }), modules)).toThrow('matches no module')
  })
})

describe('presets', () => {
  it('become names of this model', () => {
    const resolved = Object.fromEntries(
      [...targetPresets.keys()].map((name) => [name, resolvePreset(name, modules)]),
    )
    expect(resolved).toEqual({
      default: ['q_proj', 'v_proj'],
      attention: ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
      mlp: ['gate_proj', 'up_proj', 'down_proj'],
      'all-linear': ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
    })
  })

  it('find the one projection of a model that has queries and values in one', () => {
    const fused = {
      path: 'model.layers.0.self_attn.qkv_proj',
      kind: 'linear',
      inFeatures: 4,
      outFeatures: 12,
      bias: false,
    } as const
    expect(resolvePreset('default', [fused])).toEqual(['qkv_proj'])
    const mixing = ['conv.in_proj', 'linear_attn.in_proj_qkv', 'linear_attn.in_proj_z'].map(
      (name) => ({ ...fused, path: `model.layers.0.${name}` }),
    )
    expect(resolvePreset('default', mixing)).toEqual(['in_proj', 'in_proj_qkv'])
    const gate = { ...fused, path: 'model.layers.0.feed_forward.w1' }
    expect(resolvePreset('mlp', [...mixing, gate])).toEqual(['w1'])
  })

  it('leave any other choice alone', () => {
    expect(resolvePreset(['default'], modules)).toEqual(['default'])
    expect(resolvePreset('.*q_proj', modules)).toBe('.*q_proj')
  })
})

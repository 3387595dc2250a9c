import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { OptionError } from '../base/errors.ts'
import { buildModelGraph } from '../graph/build-model.ts'
import { getArchitecture } from '../graph/models/architecture-table.ts'
import { completeRole, createRole, computeRoleCost, resolveRole, roles } from './roles.ts'
import { parity, storiesBase } from '../../test/support/adapters.ts'

const expected: Record<string, [rank: number, alpha: number, layers: number]> = {
  coder: [16, 32, 4],
  researcher: [8, 16, 3],
  security: [16, 32, 7],
  architect: [12, 24, 4],
  reviewer: [8, 16, 2],
}

/** Rows of the table of costs, as docs/standalone.md shows them. */
const row = (name: string): string[] => {
  const { config, tags } = roles.get(name)!
  const { parameters, bytes } = computeRoleCost(name, 768)
  const targets = (config['targets'] as string[])
    .map((target) => target.replace('_proj', ''))
    .join(' ')
  return [
    `\`${name}\``,
    String(config['rank']),
    String(config['alpha']),
    targets,
    parameters.toLocaleString('en'),
    bytes.toLocaleString('en'),
    tags.join(', '),
  ]
}

describe('roles', () => {
  it.each(Object.entries(expected))(
    '%s has its rank, alpha and layers on vectors of any width',
    (name, [rank, alpha, layers]) => {
      const { config, tensors, metadata } = createRole(name, 24, { seed: 1 })
      expect([config['rank' as never], config['alpha' as never]]).toEqual([rank, alpha])
      expect(tensors.size).toBe(2 * layers)
      expect(metadata?.['tags']?.split(' ').length).toBeGreaterThan(1)
      expect(computeRoleCost(name, 24).parameters).toBe(layers * rank * (24 + 24))
    },
  )
  it('are there in full, and no others', () => {
    expect([...roles.keys()].sort()).toEqual(Object.keys(expected).sort())
    expect(() => createRole('poet', 24)).toThrow(OptionError)
    expect(() => createRole('poet', 24)).toThrow('There are: coder')
  })
  it.each([...roles.keys()])('%s fits a language model', async (name) => {
    const { model } = await storiesBase()
    const adapter = createRole(name, model, { seed: 1, baseModel: 'stories260k' })
    expect(adapter.tensors.size).toBe(2 * expected[name]![2] * 5) // layers of the model
    expect(adapter.baseModel).toBe('stories260k')
  })
  it('find queries, keys, values, gate and up in layers that hold several of them', async () => {
    const json = JSON.parse(
      await readFile(new URL('architectures/phi3/config.json', parity), 'utf8'),
    ) as Record<string, unknown>
    const model = buildModelGraph(getArchitecture(json).readConfig(json))
    expect(resolveRole('coder', model).config['targets']).toEqual(['qkv_proj', 'o_proj'])
    expect(resolveRole('architect', model).config['targets']).toEqual(['qkv_proj', 'gate_up_proj'])
  })
  it('cost what the table in docs/standalone.md says', async () => {
    const page = await readFile(new URL('../../docs/standalone.md', import.meta.url), 'utf8')
    const cells = (line: string): string[] =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim())
    for (const name of roles.keys()) {
      const line = page.split('\n').find((each) => each.startsWith(`| \`${name}\``))
      expect(cells(line ?? ''), row(name).join(' | ')).toEqual(row(name))
    }
  })
  it('lend their options to a kind, except those that are given', async () => {
    const { model: graph } = await storiesBase()
    const configOf = (kind: string, config: Record<string, unknown> = {}) =>
      completeRole('researcher', graph, { kind, config }).config
    const targets = ['q_proj', 'k_proj', 'v_proj']
    expect(configOf('lora')).toEqual({ rank: 8, alpha: 16, targets })
    expect(configOf('dora', { rank: 4 })).toEqual({ rank: 4, targets }) // alpha follows the rank
    expect(configOf('lora', { alpha: 1, targets: ['o_proj'] })).toEqual({
      rank: 8,
      alpha: 1,
      targets: ['o_proj'],
    })
    expect(configOf('ia3')).toEqual({ targets }) // has no rank
  })
})

import { describe, expect, it } from 'vitest'
import { findLayer, describeLayers } from './layer-table.ts'

const at = (path: string, norm: number) => ({ path, layer: findLayer(path), norm })

describe('layerTable', () => {
  it('sums rows and columns as norms, in the order of layers, and modules outside of layers last', () => {
    const lines = describeLayers([
      at('model.layers.10.self_attn.q_proj', 3),
      at('model.layers.2.self_attn.q_proj', 4),
      at('model.layers.10.mlp.up_proj', 4),
      at('lm_head', 12),
    ])
    expect(lines.map((line) => line.trim().split(/ {2,}/))).toEqual([
      ['q_proj', 'up_proj', 'all'],
      ['layer 2', '4.0000', '–', '4.0000'],
      ['layer 10', '3.0000', '4.0000', '5.0000'],
      ['lm_head', '12.0000'],
      ['all', '5.0000', '4.0000', '13.6015'],
    ])
    expect(new Set(lines.map((line) => line.length)).size).toBe(1)
  })

  it('keeps longer names where the last part does not tell modules apart', () => {
    expect(describeLayers([at('h.layers.0.a.out', 1), at('h.layers.0.b.out', 1)])[0]).toMatch(
      /a\.out +b\.out +all$/,
    )
  })
})

// Norms as a table: a row for each layer, a column for each of its modules. Pure.

import { type Align, formatTable } from '../ui/table.ts'

export interface LayerNorm {
  /** Path of a module or name of a weight: 'model.layers.3.self_attn.q_proj'. */
  readonly path: string
  /** null: it is in no layer and gets a separate row. */
  readonly layer: number | null
  readonly norm: number
}

/** The name without prefix and layer: 'self_attn.q_proj'. */
export const removeLayer = (path: string): string =>
  path.replace(/^base_model\.model\./, '').replace(/^.*\.layers\.\d+\./, '')

/** The number of the layer in a path; null if there is none. */
export const findLayer = (path: string): number | null => {
  const found = /\.(\d+)\./.exec(path)
  return found ? Number(found[1]) : null
}

const formatNorm = (norms: readonly LayerNorm[]): string =>
  Math.hypot(...norms.map(({ norm }) => norm)).toFixed(4)

/** Rows and columns end in the norm of all they hold. */
export function describeLayers(norms: readonly LayerNorm[]): string[] {
  const inLayers = norms.filter(({ layer }) => layer !== null)
  const names = [...new Set(inLayers.map(({ path }) => removeLayer(path)))]
  const layers = [...new Set(inLayers.map(({ layer }) => layer!))].sort((a, b) => a - b)
  const rows = layers.map((layer) => {
    const own = inLayers.filter((one) => one.layer === layer)
    const cells = names.map((name) => own.filter(({ path }) => removeLayer(path) === name))
    return [
      `  layer ${layer}`,
      ...cells.map((cell) => (cell.length > 0 ? formatNorm(cell) : '–')),
      formatNorm(own),
    ]
  })
  const others = norms
    .filter(({ layer }) => layer === null)
    .map((one) => [`  ${removeLayer(one.path)}`, ...names.map(() => ''), formatNorm([one])])
  const columns = names.map((name) =>
    formatNorm(inLayers.filter(({ path }) => removeLayer(path) === name)),
  )
  const aligns: Align[] = ['left', ...names.map((): Align => 'right'), 'right']
  return formatTable(
    [
      ['', ...shortenNames(names), 'all'],
      ...rows,
      ...others,
      ['  all', ...columns, formatNorm(norms)],
    ],
    aligns,
  )
}

/** Last parts, if those distinguish the names. */
function shortenNames(names: readonly string[]): readonly string[] {
  const short = names.map((name) => name.slice(name.lastIndexOf('.') + 1))
  return new Set(short).size === names.length ? short : names
}

// Measures released experts again on their first held-out rows, to find a change of the engine, of
// a kind or of a file that makes one worse.

import { FormatError } from '../../base/errors.ts'
import { loadAdapter } from '../adapters.ts'
import { readManifestFile } from '../expert/manifest-file.ts'
import type { LoadedModel } from '../model.ts'
import { verifyFolder } from '../registry/sign-folder.ts'
import { getRecipeMetric, measureExpert } from './measure.ts'
import type { ExpertRecipe } from './recipe.ts'
import { readLibraryNote } from './release-expert.ts'
import { openSlice } from './slice.ts'

export interface CheckReleasedOptions {
  readonly model: LoadedModel
  readonly folder: string
  /** Public keys of which one must have signed the expert. */
  readonly keys: readonly string[]
  readonly data?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((done: number, rows: number) => void) | undefined
}

export interface CheckedExpert {
  readonly name: string
  readonly metric: string
  readonly rows: number
  /** When it was released, on the same rows. */
  readonly released: number
  readonly measured: number
  readonly hasFallen: boolean
}

/** Machines round differently, and one token can change a row: this many rows count as equal. */
const allowedRows = 3
/** Of a figure that is no share, such as perplexity. */
const allowedShare = 0.02

/**
 * Verifies and measures one expert. Throws SignatureError if its files are not those that were
 * signed, FormatError if its manifest has no figure to compare with.
 */
export async function checkReleased(
  recipe: ExpertRecipe,
  { model, folder, keys, data, signal, onProgress }: CheckReleasedOptions,
): Promise<CheckedExpert> {
  await verifyFolder(folder, keys)
  const manifest = await readManifestFile(folder)
  const note = manifest && readLibraryNote(manifest)
  if (!note)
    throw new FormatError(
      `${folder}: its expert.json has no custom.library with the figure to compare with; build it with graft experts build.`,
    )
  const slice = await openSlice(recipe, data)
  const held = { name: slice.held.name, rows: slice.held.rows.slice(0, note.rows) }
  const adapter = await loadAdapter(folder, { model })
  const { value } = await measureExpert(recipe, {
    model,
    held,
    labels: slice.labels,
    adapter,
    signal,
    onProgress: (done) => onProgress?.(done, note.rows),
  })
  const { kind, better } = getRecipeMetric(recipe)
  const allowed = kind === 'share' ? allowedRows / note.rows : allowedShare * note.value
  const lost = better === 'higher' ? note.value - value : value - note.value
  return {
    name: recipe.name,
    metric: recipe.metric,
    rows: note.rows,
    released: note.value,
    measured: value,
    hasFallen: !(lost <= allowed + 1e-9),
  }
}

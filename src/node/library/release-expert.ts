// An expert's folder as it is released: tensors in few bits, and a manifest with what was measured.

import { join } from 'node:path'
import type { Adapter } from '../../adapters/adapter.ts'
import { FormatError } from '../../base/errors.ts'
import type { ExpertManifest } from '../../registry/manifest/manifest-fields.ts'
import type { LoadedModel } from '../model.ts'
import { loadAdapter, saveAdapter } from '../adapters.ts'
import { readManifestFile, writeManifestFile } from '../expert/manifest-file.ts'
import { createFileSink } from '../files/file-sink.ts'
import { computeFigure, getRecipeMetric, type Measurement } from './measure.ts'
import type { ExpertRecipe } from './recipe.ts'

/** Rows that `graft experts check` measures again. */
export const checkedRows = 50

/** What a released expert's manifest keeps under `custom`, for checks. */
export interface LibraryNote {
  readonly rows: number
  readonly value: number
}

/** Saves the adapter in the recipe's type and reads it back, as users will. */
export async function packRelease(
  recipe: ExpertRecipe,
  adapter: Adapter,
  folder: string,
  model: LoadedModel,
): Promise<Adapter> {
  await saveAdapter(adapter, folder, { dtype: recipe.dtype })
  return loadAdapter(folder, { model })
}

/** Writes the manifest of a release from that of its training run and what was measured. */
export async function writeRelease(
  recipe: ExpertRecipe,
  runFolder: string,
  folder: string,
  measured: Measurement,
): Promise<void> {
  const trained = await readManifestFile(runFolder)
  if (!trained) throw new FormatError(`${runFolder}: contains no expert.json of a training run.`)
  await writeManifestFile(createRelease(recipe, trained, measured), createFileSink(folder))
}

/** The manifest of a release; times of the machine that made it are left out. */
function createRelease(
  recipe: ExpertRecipe,
  { figures: _figures, scores: _scores, ...trained }: ExpertManifest,
  measured: Measurement,
): ExpertManifest {
  const { name, description, domains, keywords, dataLicense, system, metric } = recipe
  const { value, low, high, scores } = measured
  const checked = scores.slice(0, checkedRows)
  const note: LibraryNote = {
    rows: checked.length,
    value: computeFigure(getRecipeMetric(recipe), checked),
  }
  const data = `${name}/test.jsonl`
  return Object.assign({}, trained, {
    id: name,
    version: '1.0.0',
    name,
    description,
    domains,
    system,
    tags: ['library'],
    license: dataLicense,
    routing: { keywords },
    scores: { [metric]: { value, low, high, rows: scores.length, data } },
    custom: { library: note },
  })
}

/**
 * The score of a release on its first rows, from its own record; undefined if it is not from the
 * library.
 */
export function readLibraryNote({ custom }: ExpertManifest): LibraryNote | undefined {
  const note = custom?.['library'] as Partial<LibraryNote> | undefined
  return typeof note?.rows === 'number' && typeof note.value === 'number'
    ? { rows: note.rows, value: note.value }
    : undefined
}

export const getReleaseFolder = (out: string, name: string): string => join(out, name)

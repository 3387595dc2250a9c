// The data of a recipe: training rows, held-out rows, and the licence that must be next to them.

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DataError, NotFoundError } from '../../base/errors.ts'
import type { RawDataset } from '../../train/data/jsonl.ts'
import { readDataFile } from '../data.ts'
import type { ExpertRecipe } from './recipe.ts'

export interface DataSlice {
  /** The file of the rows to learn from. */
  readonly trainFile: string
  readonly held: RawDataset
  /** All possible answers, for a recipe that is measured by labels. */
  readonly labels: readonly string[] | undefined
}

/** The slices of a checkout; they are not in the package. */
export const sliceDirectory = fileURLToPath(
  new URL('../../../examples/data/library', import.meta.url),
)

/**
 * Throws NotFoundError if the slice is missing, DataError if it has no licence, and what reading
 * rows throws.
 */
export async function openSlice(
  { name, metric }: Pick<ExpertRecipe, 'name' | 'metric'>,
  directory: string = sliceDirectory,
): Promise<DataSlice> {
  const folder = join(directory, name)
  const files = await readdir(folder).catch((cause: unknown) => {
    throw new NotFoundError(
      `${folder}: the data of expert "${name}" is not there. It is in the repository, not in the package: clone it, or give a folder of slices (--data).`,
      { cause },
    )
  })
  if (!files.some((file) => /^licen[cs]e/iu.test(file)))
    throw new DataError(
      `${folder}: the rows have no licence; add a file LICENSE that allows their use. Nothing was trained.`,
    )
  const trainFile = join(folder, 'train.jsonl')
  const held = await readDataFile(join(folder, 'test.jsonl'))
  const { rows } = await readDataFile(trainFile)
  const known = [...rows, ...held.rows].map(({ value }) => String(value['completion']))
  return {
    trainFile,
    held: { name: `${name}/test.jsonl`, rows: held.rows },
    labels: metric === 'label-accuracy' ? [...new Set(known)].toSorted() : undefined,
  }
}

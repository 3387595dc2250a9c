// The released experts answer their held-out rows as well as when they were released.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { NotFoundError } from '../../base/errors.ts'
import { type LoadedModel, loadModel } from '../model.ts'
import { checkReleased } from './check-released.ts'
import { libraryBase } from './recipe.ts'
import { getLibraryRecipe } from './recipe-table.ts'
import { listReleased, releasedDirectory, releasedKeyFile } from './released.ts'

let model: LoadedModel | undefined
let missing: string | undefined
beforeAll(async () => {
  model = await loadModel(libraryBase).catch((error: unknown) => {
    if (!(error instanceof NotFoundError)) throw error
    missing = error.message
    return undefined
  })
}, 330_000)
afterAll(() => model?.dispose())

it.for(await listReleased())('%s has not fallen', { timeout: 600_000 }, async (name, { skip }) => {
  if (!model) return skip(missing)
  const checked = await checkReleased(getLibraryRecipe(name), {
    model,
    folder: `${releasedDirectory}/${name}`,
    keys: [releasedKeyFile],
  })
  console.log(name, checked.metric, checked.measured, 'released with', checked.released)
  expect(checked).toMatchObject({ rows: 50, hasFallen: false })
})

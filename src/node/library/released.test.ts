// The experts that come with the package: complete, signed, small, of the kinds that their recipes
// name.

import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { getTierRecipe } from '../../train/options/adapter-tiers.ts'
import { loadAdapter } from '../adapters.ts'
import { readManifestFile } from '../expert/manifest-file.ts'
import { listFiles } from '../files/list-files.ts'
import { verifyFolder } from '../registry/sign-folder.ts'
import { getLibraryRecipe, libraryRecipes } from './recipe-table.ts'
import { readLibraryNote } from './release-expert.ts'
import { NotFoundError } from '../../base/errors.ts'
import {
  findNamedExpert,
  listReleased,
  releasedDirectory,
  releasedKeyFile,
  requireExpertPath,
} from './released.ts'

const names = await listReleased()

describe.each(names)('%s', (name) => {
  const folder = join(releasedDirectory, name)
  it('is signed, and of the kind that its recipe names', async () => {
    await verifyFolder(folder, [releasedKeyFile])
    const { kind, tensors } = await loadAdapter(folder)
    expect(kind).toBe(getTierRecipe(getLibraryRecipe(name).tier).kind)
    expect(tensors.size).toBeGreaterThan(1)
  })
  it('reports its kind, its training data and its scores', async () => {
    const recipe = getLibraryRecipe(name)
    const manifest = (await readManifestFile(folder))!
    expect(manifest).toMatchObject({
      id: name,
      base: { id: 'smollm2-135m-instruct' },
      system: recipe.system,
      license: recipe.dataLicense,
      provenance: { command: `graft experts build ${name}`, seed: 0 },
    })
    expect(manifest.base.sha256).toMatch(/^[0-9a-f]{64}$/)
    expect(manifest.scores![recipe.metric]!.rows).toBeGreaterThanOrEqual(50)
    expect(readLibraryNote(manifest)!.rows).toBe(50)
  })
})

describe('the released experts', () => {
  it('are those of the recipes, in at most 12 MB', async () => {
    expect(names).toEqual([...libraryRecipes.keys()].toSorted())
    let sizeBytes = 0
    for (const { path } of await listFiles(releasedDirectory))
      sizeBytes += (await stat(join(releasedDirectory, path))).size
    expect(sizeBytes).toBeLessThan(12e6)
  })
})

describe('requireExpertPath', () => {
  it('refuses a plain name that nothing has, with the one that was probably meant', async () => {
    const asked = requireExpertPath('sqll')
    await expect(asked).rejects.toThrow(NotFoundError)
    await expect(asked).rejects.toThrow(/There is no expert "sqll".* Did you mean sql\?/)
  })
  it('suggests folders of the directory, and gives anything else back as a path', async () => {
    const here = await mkdtemp(join(tmpdir(), 'graft-experts-'))
    await mkdir(join(here, 'cats'))
    await writeFile(join(here, 'cats', 'adapter_config.json'), '{}')
    await expect(requireExpertPath('catz', here)).rejects.toThrow('Did you mean cats?')
    await rm(here, { recursive: true })
    expect(await requireExpertPath('./sqll')).toBe('./sqll')
    expect(await requireExpertPath('package.json')).toBe('package.json')
  })
})

describe('findNamedExpert', () => {
  let place: string
  const before = process.cwd()
  beforeAll(async () => void (place = await mkdtemp(join(tmpdir(), 'graft-named-'))))
  afterAll(async () => {
    process.chdir(before)
    await rm(place, { recursive: true })
  })

  it('finds a released expert by name, and no other name', async () => {
    expect(await findNamedExpert('sql', null)).toBe(join(releasedDirectory, 'sql'))
    expect(await findNamedExpert('sql', join(place, 'registry'))).toBe(
      join(releasedDirectory, 'sql'),
    )
    expect(await findNamedExpert('sqll', null)).toBeUndefined()
    expect(await findNamedExpert('../experts/sql', null)).toBeUndefined()
  })
  it('leaves a path alone that exists', async () => {
    await mkdir(join(place, 'sql'))
    process.chdir(place)
    expect(await findNamedExpert('sql', null)).toBeUndefined()
    expect(await readdir(place)).toEqual(['sql'])
  })
})

// What is on this machine, for the screen of `graft` alone: models, experts, what runs.

import { access, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { catalogue } from '../../catalogue/catalogue.ts'
import { listRunningTasks, type RunningTask } from '../../node/files/running.ts'
import { getRegistryDirectory } from '../../node/registry/registry-directory.ts'
import { findModelPlace, getRunningFolder } from './places.ts'

export interface HomeFacts {
  /** Models that need no download. */
  readonly models: readonly string[]
  /** Registered experts, as name@version; undefined if the registry cannot be read. */
  readonly registered: readonly string[] | undefined
  /** Folders of experts in the working directory and its folders experts and .graft. */
  readonly folders: readonly string[]
  readonly running: readonly RunningTask[]
}

const expertPlaces = ['.', 'experts', '.graft']

async function listExpertFolders(): Promise<string[]> {
  const found = expertPlaces.map(async (place) => {
    const items = await readdir(place, { withFileTypes: true }).catch(() => [])
    const folders = items.filter((item) => item.isDirectory()).map(({ name }) => join(place, name))
    const has = await Promise.all(
      folders.map((folder) =>
        access(join(folder, 'adapter_config.json')).then(
          () => true,
          () => false,
        ),
      ),
    )
    return folders.filter((_, i) => has[i])
  })
  return (await Promise.all(found)).flat().sort()
}

async function listRegistered(): Promise<string[] | undefined> {
  const directory = getRegistryDirectory()
  const isThere = await access(join(directory, 'index.db')).then(
    () => true,
    () => false,
  )
  if (!isThere) return [] // opening it would make one
  const { openRegistry } = await import('../../node/registry/open-registry.ts')
  try {
    const registry = await openRegistry(directory)
    const experts = await registry.list()
    await registry.close()
    return experts.map(({ id, version }) => `${id}@${version}`)
  } catch {
    return undefined // graft experts list gives the reason
  }
}

export async function gatherHome(): Promise<HomeFacts> {
  const [places, registered, folders, running] = await Promise.all([
    Promise.all([...catalogue.values()].map(findModelPlace)),
    listRegistered(),
    listExpertFolders(),
    listRunningTasks(getRunningFolder()),
  ])
  const models = [...catalogue.keys()].filter((_, i) => places[i] !== 'not fetched')
  return { models, registered, folders, running }
}

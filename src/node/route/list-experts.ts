// The experts of a folder as routers know them: names, content hashes, and the parts of their
// manifests that routers use.

import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { NotFoundError, OptionError } from '../../base/errors.ts'
import { manifestFile, parseExpertManifest } from '../../registry/manifest/expert-manifest.ts'
import type { RoutedExpert } from '../../route/router.ts'
import { findErrorCode, toStorageError } from '../files/system-errors.ts'
import { hashFolder } from '../registry/content-folder.ts'

/** Files of which one marks a folder as an expert. */
const expertFiles = [manifestFile, 'adapter_config.json', 'graft.json']

/** A routed expert and its folder. */
export interface LocatedExpert extends RoutedExpert {
  readonly path: string
}

/**
 * The experts in the folders below `directory`, by name. Throws NotFoundError for a folder that
 * does not exist or has none, OptionError for two of one name, FormatError for a broken manifest.
 */
export async function listRoutedExperts(directory: string): Promise<LocatedExpert[]> {
  const names = await readdir(directory).catch((cause: unknown) => {
    if (findErrorCode(cause) === 'ENOENT')
      throw new NotFoundError(`${directory}: there is no such folder of experts.`, { cause })
    throw toStorageError(`${directory}: cannot be read`, cause)
  })
  const experts: LocatedExpert[] = []
  for (const name of names.toSorted()) {
    const path = join(directory, name)
    if (await isExpertFolder(path)) experts.push(await readRoutedExpert(path, name))
  }
  if (experts.length === 0)
    throw new NotFoundError(
      `${directory}: no folder in it is an expert (none holds ${expertFiles.join(', ')}).`,
    )
  for (const [i, { name, path }] of experts.entries()) {
    const first = experts.findIndex((one) => one.name === name)
    if (first !== i)
      throw new OptionError(
        `${directory}: two experts have the name "${name}": ${experts[first]!.path} and ${path}. Change the id of one.`,
      )
  }
  return experts
}

async function isExpertFolder(path: string): Promise<boolean> {
  const found = await Promise.all(
    expertFiles.map((file) =>
      stat(join(path, file)).then(
        (info) => info.isFile(),
        () => false,
      ),
    ),
  )
  return found.includes(true)
}

/** One expert's folder; it is called `name` unless its manifest has another name. */
export async function readRoutedExpert(path: string, name: string): Promise<LocatedExpert> {
  const text = await readFile(join(path, manifestFile), 'utf8').catch(() => undefined)
  const manifest =
    text === undefined ? undefined : parseExpertManifest(text, join(path, manifestFile))
  const { hash: sha256 } = await hashFolder(path)
  const { keywords, examples } = manifest?.routing ?? {}
  return {
    name: manifest?.id ?? name,
    path,
    sha256,
    ...(keywords && { keywords }),
    ...(examples && { examples }),
    ...(manifest?.description !== undefined && { description: manifest.description }),
  }
}

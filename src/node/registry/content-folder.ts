// Experts' folders by content hash: `content/<hash>/`. A folder is written atomically, and never
// changes. Independent of names and versions.

import { constants, renameSync } from 'node:fs'
import { copyFile, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { FormatError } from '../../base/errors.ts'
import { mostFiles } from '../../registry/publish/image.ts'
import {
  computeRootDigest,
  isIgnoredPath,
  listResources,
  signatureFile,
} from '../../registry/signing/resources.ts'
import { runFolders } from '../expert/content-hash.ts'
import { isProcessGone, syncDirectory } from '../files/atomic-write.ts'
import { makeDirectory } from '../files/make-directory.ts'
import { findErrorCode, toStorageError } from '../files/system-errors.ts'
import { listFiles } from '../files/list-files.ts'
import type { FolderContent, RegistryContent, StagedContent } from './content/registry-content.ts'

/** The root digest of a folder's files without its signature. */
export async function hashFolder(folder: string): Promise<FolderContent> {
  const files = await listFiles(folder)
  if (files.length > mostFiles)
    throw new FormatError(
      `${folder}: has ${files.length} files, expected at most ${mostFiles}: it is not the folder of an expert.`,
    )
  const hash = await computeRootDigest(await listResources(files, [signatureFile]))
  return { hash, sizeBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) }
}

/**
 * Numbers temporary folders of this process over all registries; it starts at random, so that
 * machines that share a registry differ.
 */
let placeCount = Math.floor(Math.random() * 2 ** 40)

/** In a registry's folder. */
export const contentFolder = 'content'

/**
 * A place for files that come from elsewhere; `collectGarbage` removes what ended processes left.
 */
export const createReceivedPath = (registry: string): string =>
  join(registry, contentFolder, `received.${process.pid}.${placeCount++}.tmp`)

const abandonedMs = 24 * 3_600_000

/** The places of content below one folder. */
export class ContentFolder implements RegistryContent {
  readonly #path: string
  readonly #isShared: boolean

  private constructor(path: string, isShared: boolean) {
    this.#path = path
    this.#isShared = isShared
  }

  /** `isShared`: other machines write there, whose processes cannot be checked. */
  static async open(path: string, { isShared = false } = {}): Promise<ContentFolder> {
    await makeDirectory(path)
    return new ContentFolder(path, isShared)
  }

  locate(hash: string): string {
    return join(this.#path, hash)
  }

  async open(hash: string): Promise<string> {
    return this.locate(hash)
  }

  async compute(hash: string): Promise<string> {
    return (await hashFolder(this.locate(hash))).hash
  }

  async has(hash: string): Promise<boolean> {
    return (await stat(this.locate(hash)).catch(() => undefined)) !== undefined
  }

  /** A new folder next to the content, and how it becomes content. */
  async createPlace(): Promise<ContentPlace> {
    const path = join(this.#path, `new.${process.pid}.${placeCount++}.tmp`)
    await mkdir(path)
    return {
      path,
      keep: (hash) => this.#keepOrJoin(path, hash),
      drop: () => rm(path, { recursive: true, force: true }),
    }
  }

  async stage(folder: string, prepare?: (place: string) => Promise<void>): Promise<StagedContent> {
    const { path: place, keep: keepAs, drop } = await this.createPlace()
    try {
      for (const { path } of await listFiles(folder))
        if (!isIgnoredPath(path, runFolders)) await copyDurably(folder, place, path)
      await prepare?.(place)
      const content = await hashFolder(place)
      return { place, content, drop, keep: () => keepAs(content.hash) }
    } catch (error) {
      await drop()
      throw findErrorCode(error) === undefined
        ? error
        : toStorageError(`${folder}: cannot be copied into the registry`, error)
    }
  }

  /**
   * If the same content exists, only its signature is updated, which no hash covers; content that
   * was changed since is replaced.
   */
  async #keepOrJoin(place: string, hash: string): Promise<void> {
    if (!(await this.has(hash))) return this.#keep(place, hash)
    const isWhole = await this.compute(hash).then(
      (found) => found === hash,
      () => false,
    )
    if (isWhole) return this.#passSignature(place, hash)
    const removal = this.prepareRemoval(hash)
    removal.detach()
    await this.#keep(place, hash)
    await removal.finish()
  }

  async #passSignature(place: string, hash: string): Promise<void> {
    try {
      await rename(join(place, signatureFile), join(this.locate(hash), signatureFile))
      await syncDirectory(this.locate(hash))
    } catch (error) {
      if (findErrorCode(error) !== 'ENOENT')
        throw toStorageError(`${place}: its signature cannot be kept`, error)
    }
    await rm(place, { recursive: true, force: true })
  }

  async #keep(place: string, hash: string): Promise<void> {
    try {
      await rename(place, this.locate(hash))
      await syncDirectory(this.#path)
    } catch (error) {
      // Another process was faster: the same content is there.
      if (!(await this.has(hash))) throw toStorageError(`${place}: cannot be moved`, error)
      await rm(place, { recursive: true, force: true })
    }
  }

  prepareRemoval(hash: string) {
    const from = this.locate(hash)
    const place = join(this.#path, `old.${process.pid}.${placeCount++}.tmp`)
    return {
      detach(): void {
        try {
          renameSync(from, place)
        } catch (error) {
          if (findErrorCode(error) !== 'ENOENT')
            throw toStorageError(`${from}: cannot be removed`, error)
        }
      },
      async finish(): Promise<number> {
        const freed = await measureFolder(place)
        await rm(place, { recursive: true, force: true })
        return freed
      },
    }
  }

  async list(): Promise<string[]> {
    return (await readdir(this.#path)).filter((name) => /^[0-9a-f]{64}$/.test(name))
  }

  async #isAbandoned(name: string, pid: number): Promise<boolean> {
    if (!this.#isShared) return isProcessGone(pid)
    const found = await stat(join(this.#path, name)).catch(() => undefined)
    return found !== undefined && Date.now() - found.mtimeMs > abandonedMs
  }

  async removeAbandoned(): Promise<number> {
    let freed = 0
    for (const name of await readdir(this.#path)) {
      const pid = /^(?:new|old|received)\.(\d+)\.\d+\.tmp$/.exec(name)?.[1]
      if (pid === undefined || !(await this.#isAbandoned(name, Number(pid)))) continue
      freed += await measureFolder(join(this.#path, name))
      await rm(join(this.#path, name), { recursive: true, force: true })
    }
    return freed
  }
}

export interface ContentPlace {
  readonly path: string
  /** Moves it to the path of its hash, unless the same content exists there. */
  keep(hash: string): Promise<void>
  drop(): Promise<void>
}

async function copyDurably(from: string, to: string, path: string): Promise<void> {
  const target = join(to, path)
  await makeDirectory(dirname(target))
  await copyFile(join(from, path), target, constants.COPYFILE_FICLONE)
  const file = await open(target, 'r+')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

async function measureFolder(path: string): Promise<number> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => [])
  let sum = 0
  for (const entry of entries)
    if (entry.isFile())
      sum += (await stat(join(entry.parentPath, entry.name)).catch(() => undefined))?.size ?? 0
  return sum
}

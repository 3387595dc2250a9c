// Experts' files in an S3 bucket, with a local folder of the files that it has added or used. The
// bucket is authoritative: a file that is not in it does not exist.

import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { NotFoundError, SignatureError, StorageError } from '../../../base/errors.ts'
import { signatureFile } from '../../../registry/signing/resources.ts'
import { hashFile, listFiles } from '../../files/list-files.ts'
import { makeDirectory } from '../../files/make-directory.ts'
import { openS3Bucket, type S3Bucket, type S3Key } from '../../stores/s3-client.ts'
import { ContentFolder, type ContentPlace, hashFolder } from '../content-folder.ts'
import type { ContentRemoval, RegistryContent, StagedContent } from './registry-content.ts'
import {
  contentPrefix,
  removeList,
  type FoundFiles,
  type ContentFile,
  listKept,
  formatFileKey,
  parseKey,
  readKeptFiles,
  writeKeptFiles,
} from './s3-files.ts'

const abandonedMs = 24 * 3_600_000

/**
 * Opens the files below an address such as s3://bucket/prefix; `copies` is the folder on this
 * machine. Throws OptionError without keys, StorageError if the bucket is unreachable or refuses
 * them.
 */
export async function openS3Content(
  address: string,
  copies: string,
  environment?: Readonly<Record<string, string | undefined>>,
): Promise<RegistryContent> {
  const bucket = await openS3Bucket(address, environment)
  await bucket.check()
  return new S3Content(bucket, await ContentFolder.open(copies))
}

class S3Content implements RegistryContent {
  readonly #bucket: S3Bucket
  readonly #copies: ContentFolder

  constructor(bucket: S3Bucket, copies: ContentFolder) {
    this.#bucket = bucket
    this.#copies = copies
  }

  async stage(folder: string, prepare?: (place: string) => Promise<void>): Promise<StagedContent> {
    const staged = await this.#copies.stage(folder, prepare)
    const keep = async (): Promise<void> => {
      await this.#keepOrJoin(staged.place, staged.content.hash)
      await staged.keep()
    }
    return { place: staged.place, content: staged.content, keep, drop: staged.drop }
  }

  /** A local copy is used if it has the stored signature, or if the bucket is unreachable. */
  async open(hash: string): Promise<string> {
    const folder = this.#copies.locate(hash)
    const isHere = await this.#copies.has(hash)
    let found: FoundFiles | undefined
    try {
      found = await readKeptFiles(this.#bucket, hash)
    } catch (error) {
      if (isHere && error instanceof StorageError) return folder
      throw error
    }
    if (!found)
      throw new NotFoundError(
        `${this.#bucket.name}: the files of sha256:${hash.slice(0, 12)}… are not there. Add the expert again.`,
      )
    const { signature } = found
    const isSigned = signature === null || signature === (await readSignatureHash(folder))
    if (!isHere || !isSigned) await this.#fetch(hash, found)
    return folder
  }

  async compute(hash: string): Promise<string> {
    const found = await readKeptFiles(this.#bucket, hash)
    if (!found) return 'none'
    const place = await this.#copies.createPlace()
    try {
      const kept = await this.#fetchInto(place, hash, found)
      if (kept !== hash || !(await this.#copies.has(hash))) return kept
      return await this.#copies.compute(hash)
    } finally {
      await place.drop()
    }
  }

  prepareRemoval(hash: string): ContentRemoval {
    const copy = this.#copies.prepareRemoval(hash)
    let found: FoundFiles | undefined
    return {
      detach: async () => {
        found = await readKeptFiles(this.#bucket, hash)
        await removeList(this.#bucket, hash)
        copy.detach()
      },
      finish: async () => {
        if (found) await this.#deleteFiles(hash, found.place)
        await copy.finish()
        return found?.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) ?? 0
      },
    }
  }

  list(): Promise<string[]> {
    return listKept(this.#bucket)
  }

  /**
   * Removes files without a list that are older than a day, and local copies of removed content.
   */
  async removeAbandoned(): Promise<number> {
    const { keys } = await this.#bucket.list(contentPrefix)
    const freed = await this.#removeUnlisted(keys)
    const kept = new Set(keys.flatMap(({ key }) => parseKey(key)?.hash ?? []))
    for (const hash of await this.#copies.list()) {
      if (kept.has(hash)) continue
      const removal = this.#copies.prepareRemoval(hash)
      removal.detach()
      await removal.finish()
    }
    await this.#copies.removeAbandoned()
    return freed
  }

  async #removeUnlisted(keys: readonly S3Key[]): Promise<number> {
    const known = keys.flatMap((key) => {
      const { hash, place } = parseKey(key.key) ?? {}
      return hash === undefined ? [] : [{ hash, place, key }]
    })
    let freed = 0
    for (const [hash, own] of Map.groupBy(known, (one) => one.hash)) {
      const places = new Set(own.map(({ place }) => place))
      if (places.size === 2 && places.has(undefined)) continue // the list, and its files
      const listed = (await readKeptFiles(this.#bucket, hash))?.place
      for (const { place, key } of own) {
        const isOld = Date.now() - key.modifiedMs > abandonedMs
        if (place === undefined || place === listed || !isOld) continue
        await this.#bucket.delete(key.key)
        freed += key.sizeBytes
      }
    }
    return freed
  }

  /**
   * If the same content exists, only its signature is updated; content that was changed since is
   * replaced.
   */
  async #keepOrJoin(folder: string, hash: string): Promise<void> {
    const found = await readKeptFiles(this.#bucket, hash)
    const signature = await readSignatureHash(folder)
    if (found && (await this.#isWhole(hash, found))) {
      if (signature === null || signature === found.signature) return
      const file = await this.#upload(folder, hash, found.place, signatureFile)
      const files = [...found.files.filter(({ path }) => path !== signatureFile), file]
      const list = { place: found.place, files, signature }
      const { etag } = await writeKeptFiles(this.#bucket, hash, list, found)
      return etag === undefined ? this.#keepOrJoin(folder, hash) : undefined
    }
    const place = randomUUID()
    const files: ContentFile[] = []
    for (const { path } of await listFiles(folder))
      files.push(await this.#upload(folder, hash, place, path))
    const list = { place, files, signature }
    const { etag } = await writeKeptFiles(this.#bucket, hash, list, found)
    const now = etag === undefined ? await readKeptFiles(this.#bucket, hash) : list
    // another writer was faster: the same content exists
    if (now?.place !== place) await this.#deleteFiles(hash, place)
    else if (found) await this.#deleteFiles(hash, found.place)
  }

  async #isWhole(hash: string, found: FoundFiles): Promise<boolean> {
    const place = await this.#copies.createPlace()
    try {
      return (await this.#fetchInto(place, hash, found)) === hash
    } finally {
      await place.drop()
    }
  }

  async #upload(folder: string, hash: string, place: string, path: string): Promise<ContentFile> {
    const bytes = await readFile(join(folder, path))
    await this.#bucket.put(formatFileKey(hash, place, path), { bytes })
    return { path, sizeBytes: bytes.length }
  }

  async #fetch(hash: string, found: FoundFiles): Promise<void> {
    const place = await this.#copies.createPlace()
    try {
      const fetched = await this.#fetchInto(place, hash, found)
      if (fetched !== hash)
        throw new SignatureError(
          `${this.#bucket.name}: the files of sha256:${hash.slice(0, 12)}… have the hash sha256:${fetched.slice(0, 12)}…: they were changed. Add the expert again.`,
        )
      await place.keep(hash)
    } finally {
      await place.drop()
    }
  }

  /** The hash of the fetched files, which differs if files are missing. */
  async #fetchInto({ path: folder }: ContentPlace, hash: string, found: FoundFiles) {
    for (const { path, sizeBytes } of found.files) {
      const object = await this.#bucket.get(formatFileKey(hash, found.place, path), sizeBytes)
      if (!object) continue
      await makeDirectory(dirname(join(folder, path)))
      await writeFile(join(folder, path), object.bytes)
    }
    return hashFolder(folder).then(
      (content) => content.hash,
      () => 'none',
    )
  }

  async #deleteFiles(hash: string, place: string): Promise<void> {
    const { keys } = await this.#bucket.list(formatFileKey(hash, place, ''))
    for (const { key } of keys) await this.#bucket.delete(key)
  }
}

/** SHA-256 of a folder's signature; null without one. */
const readSignatureHash = async (folder: string): Promise<string | null> => {
  const files = await listFiles(folder).catch(() => [])
  const file = files.find(({ path }) => path === signatureFile)
  return file ? hashFile(join(folder, file.path)) : null
}

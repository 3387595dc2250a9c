// Users' items as objects of an S3 bucket. An etag cannot be a version, because equal bytes have
// equal etags: each object begins with its version and a unique mark. Independent of the bytes'
// meaning.

import { randomBytes } from 'node:crypto'
import { ConflictError, FormatError, StorageError } from '../../base/errors.ts'
import {
  checkItem,
  checkItemVersion,
  checkUser,
  computeNextVersion,
  type ItemInfo,
  type StoredItem,
  type UserStore,
} from '../../learn/store/user-store.ts'
import { openS3Bucket, type S3Bucket } from './s3-client.ts'

const headerBytes = 16 // f64 version, 8 random bytes
const versionName = 'graft-version'
const deletedName = 'graft-deleted'

const toFolder = (user: string): string => {
  checkUser(user)
  return `users/${Buffer.from(user, 'utf8').toString('hex')}/`
}

/** Facts on an object without its bytes. */
interface FoundItem {
  readonly etag: string
  /** undefined: deleted, and about to be removed. */
  readonly version: number | undefined
}

function encodeItem(version: number, bytes: Uint8Array): Uint8Array {
  const body = new Uint8Array(headerBytes + bytes.length)
  new DataView(body.buffer).setFloat64(0, version, true)
  body.set(randomBytes(8), 8)
  body.set(bytes, headerBytes)
  return body
}

function toFound(
  name: string,
  { etag, metadata }: { etag: string; metadata: Readonly<Record<string, string>> },
): FoundItem {
  if (metadata[deletedName] !== undefined) return { etag, version: undefined }
  const version = Number(metadata[versionName])
  if (!Number.isInteger(version))
    throw new FormatError(`${name}: holds an object that Graft did not write.`)
  return { etag, version }
}

/**
 * Opens the users below an address such as s3://bucket/prefix; `?endpoint=https://…` for other
 * servers than AWS's, which must support conditional writes. Throws OptionError without keys,
 * StorageError if the bucket is unreachable or refuses them.
 */
export async function openS3Store(
  address: string,
  environment?: Readonly<Record<string, string | undefined>>,
): Promise<UserStore> {
  const bucket = await openS3Bucket(address, environment)
  await bucket.check()
  return new S3Store(bucket)
}

const unconditionalTries = 20

const keptEtags = 10_000

/** Etags of versions that were read or written, which saves writers a request. */
function createEtagCache() {
  const etags = new Map<string, FoundItem>()
  return {
    keep(key: string, found: FoundItem): void {
      etags.delete(key)
      etags.set(key, found)
      if (etags.size > keptEtags) etags.delete(etags.keys().next().value!)
    },
    find: (key: string, version: number | undefined): FoundItem | undefined => {
      const found = etags.get(key)
      return version !== undefined && found?.version === version ? found : undefined
    },
  }
}

/** The object found at a key, and the operation that asked for it. */
interface Target {
  readonly key: string
  readonly user: string
  readonly item: string
}

class S3Store implements UserStore {
  readonly name: string
  readonly #bucket: S3Bucket
  readonly #seen = createEtagCache()
  #isClosed = false

  constructor(bucket: S3Bucket) {
    this.#bucket = bucket
    this.name = bucket.name
  }

  async get(user: string, item: string): Promise<StoredItem | undefined> {
    const { key } = this.#locate(user, item)
    const object = await this.#bucket.get(key)
    const found = object && toFound(this.name, object)
    if (!object || found?.version === undefined) return undefined
    this.#seen.keep(key, found)
    return { bytes: object.bytes.slice(headerBytes), version: found.version }
  }

  async put(user: string, item: string, bytes: Uint8Array, expected?: number): Promise<number> {
    const target = this.#locate(user, item)
    const own = bytes.slice() // the caller may change its bytes while the request is on its way
    for (let tries = 1; ; tries++) {
      const found = this.#seen.find(target.key, expected) ?? (await this.#find(target.key))
      checkItemVersion(this.name, user, item, found?.version, expected)
      const version = await this.#putOnce(target.key, found, own)
      if (version !== undefined) return version
      if (expected !== undefined || tries === unconditionalTries)
        await this.#refuse(target, expected)
    }
  }

  async list(user: string): Promise<ItemInfo[]> {
    const folder = this.#locateFolder(user)
    const { keys } = await this.#bucket.list(folder)
    const items = await Promise.all(
      keys.map(async ({ key, sizeBytes }) => {
        const version = (await this.#find(key))?.version
        const item = key.slice(folder.length)
        return version === undefined ? [] : [{ item, version, sizeBytes: sizeBytes - headerBytes }]
      }),
    )
    return items.flat().sort((a, b) => (a.item < b.item ? -1 : 1))
  }

  async delete(user: string, item: string, expected?: number): Promise<void> {
    const target = this.#locate(user, item)
    const found = await this.#find(target.key)
    checkItemVersion(this.name, user, item, found?.version, expected)
    if (!found) return
    if (expected === undefined) return this.#bucket.delete(target.key)
    // Not every server checks the condition of a delete: the object is first marked as deleted
    // under a condition, and readers treat a marked object as absent.
    const { etag } = await this.#bucket.put(target.key, {
      bytes: encodeItem(expected, new Uint8Array(0)),
      metadata: { [deletedName]: '1' },
      condition: { etag: found.etag },
    })
    if (etag === undefined) return this.#refuse(target, expected)
    await this.#bucket.delete(target.key, etag)
  }

  async forget(user: string): Promise<void> {
    const { keys } = await this.#bucket.list(this.#locateFolder(user))
    await Promise.all(keys.map(({ key }) => this.#bucket.delete(key)))
  }

  async users(): Promise<string[]> {
    this.#checkOpen()
    const { folders } = await this.#bucket.list('users/', true)
    return folders.map((hex) => Buffer.from(hex, 'hex').toString('utf8'))
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new StorageError(`${this.name}: is closed.`)
  }

  #locateFolder(user: string): string {
    const folder = toFolder(user)
    this.#checkOpen()
    return folder
  }

  #locate(user: string, item: string): Target {
    const folder = this.#locateFolder(user)
    checkItem(item)
    return { key: folder + item, user, item }
  }

  async #find(key: string): Promise<FoundItem | undefined> {
    const object = await this.#bucket.head(key)
    return object && toFound(this.name, object)
  }

  /** Replaces the object that was found; undefined if another writer was faster. */
  async #putOnce(
    key: string,
    found: FoundItem | undefined,
    bytes: Uint8Array,
  ): Promise<number | undefined> {
    const version = computeNextVersion(found?.version, Math.random)
    const body = encodeItem(version, bytes)
    const metadata = { [versionName]: String(version) }
    const condition = found ? { etag: found.etag } : ({ absent: true } as const)
    const written = await this.#bucket.put(key, { bytes: body, metadata, condition })
    let { etag } = written
    if (written.etag === undefined && written.isUncertain) {
      const now = await this.#bucket.get(key)
      if (now && Buffer.compare(now.bytes, body) === 0) ({ etag } = now)
    }
    if (etag === undefined) return undefined
    this.#seen.keep(key, { version, etag })
    return version
  }

  /** The error of a write that came too late. */
  async #refuse({ key, user, item }: Target, expected: number | undefined): Promise<never> {
    checkItemVersion(this.name, user, item, (await this.#find(key))?.version, expected)
    throw new ConflictError(`${this.name}: ${item} was changed at this moment; read it again.`)
  }
}

// A router's file on disk: read completely and checked, written atomically.

import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FormatError, NotFoundError } from '../../base/errors.ts'
import { computeSha256, toHex } from '../../base/sha256.ts'
import { findJsonProblem } from '../../formats/json-problem.ts'
import { checkRouterFile, type RouterFile } from '../../route/router-file.ts'
import { syncDirectory } from '../files/atomic-write.ts'
import { findErrorCode, toStorageError } from '../files/system-errors.ts'

const deepest = 64
/** A router of 1,000 experts has some 2 MiB. */
const mostBytes = 2 ** 28

export interface ReadRouter {
  readonly file: RouterFile
  /** Of the bytes; log rows name it. */
  readonly sha256: string
  readonly sizeBytes: number
}

/** Throws NotFoundError, StorageError, FormatError, UnsupportedError for a newer version. */
export async function readRouterFile(path: string): Promise<ReadRouter> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    if (findErrorCode(cause) === 'ENOENT')
      throw new NotFoundError(`${path}: there is no such router. Make one: graft route train.`, {
        cause,
      })
    throw toStorageError(`${path}: cannot be read`, cause)
  })
  if (bytes.length > mostBytes)
    throw new FormatError(`${path}: has ${bytes.length} bytes, expected at most ${mostBytes}.`)
  const text = new TextDecoder().decode(bytes)
  const problem = findJsonProblem(text, deepest)
  if (problem !== undefined) throw new FormatError(`${path}: ${problem}.`)
  let file: unknown
  try {
    file = JSON.parse(text)
  } catch (cause) {
    throw new FormatError(`${path}: is not JSON.`, { cause })
  }
  checkRouterFile(file, path)
  return { file, sha256: toHex(await computeSha256(bytes)), sizeBytes: bytes.length }
}

/** Throws StorageError; an older file at the path stays then. Returns the size in bytes. */
export async function writeRouterFile(path: string, file: RouterFile): Promise<number> {
  checkRouterFile(file, path)
  const text = `${JSON.stringify(file)}\n`
  const place = `${path}.${process.pid}.tmp`
  try {
    await writeFile(place, text, { flush: true })
    await rename(place, path)
    await syncDirectory(dirname(path))
  } catch (cause) {
    await rm(place, { force: true }).catch(() => undefined)
    throw toStorageError(`${path}: cannot be written`, cause)
  }
  return Buffer.byteLength(text)
}

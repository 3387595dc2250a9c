// Unpacks an untrusted tar archive into a new folder: only regular files below it, and at most the
// allowed number of bytes, whatever the archive's headers claim.

import { createReadStream } from 'node:fs'
import { open, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import type { ParsedTarEntry } from 'modern-tar'
import { FormatError, GraftError, UnsupportedError } from '../../../base/errors.ts'
import { quoteName } from '../../../formats/quote.ts'
import { findPathProblem } from '../../../registry/signing/resources.ts'
import { makeDirectory } from '../../files/make-directory.ts'
import { describeError, findErrorCode, toStorageError } from '../../files/system-errors.ts'

export interface UnpackLimits {
  /** Of everything in it. */
  readonly maxBytes: number
  readonly signal?: AbortSignal | undefined
}

const mostEntries = 4000
/** Headers of as many entries, and what is between files. */
const spareBytes = mostEntries * 2048

/** Throws FormatError for links, devices, paths that lead out, and for more than is allowed. */
export async function unpackArchive(
  file: string,
  folder: string,
  { maxBytes, signal }: UnpackLimits,
): Promise<void> {
  const { createTarDecoder } = await import('modern-tar')
  const paths = { files: new Set<string>(), folders: new Set<string>() }
  const source = await openStream(file, maxBytes)
  const web = Readable.toWeb(source) as unknown as ReadableStream<Uint8Array>
  let entries = 0
  let bytes = 0
  try {
    for await (const { header, body } of web.pipeThrough(createTarDecoder({ strict: true }))) {
      signal?.throwIfAborted()
      if (++entries > mostEntries)
        throw new FormatError(`${file}: has more than ${mostEntries} entries.`)
      const path = checkEntry(header, paths, file)
      bytes += header.size
      if (bytes > maxBytes) throw createTooLargeError(file, maxBytes)
      if (header.type === 'directory') await body.cancel()
      else await writeEntry(join(folder, path), body as unknown as AsyncIterable<Uint8Array>)
    }
  } catch (error) {
    signal?.throwIfAborted()
    throw GraftError.isInstance(error)
      ? error
      : new FormatError(
          `${file}: is not a valid tar archive: ${describeError(error).replace(/\.$/, '')}.`,
          {
            cause: error,
          },
        )
  } finally {
    source.destroy()
  }
  if (paths.files.size === 0) throw new FormatError(`${file}: is an archive without files.`)
}

/** Not synced: the code that adds it to a registry copies it durably. */
async function writeEntry(path: string, body: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    await makeDirectory(dirname(path))
    await writeFile(path, body, { flag: 'wx' })
  } catch (cause) {
    throw findErrorCode(cause) === undefined
      ? cause
      : toStorageError(`${path}: cannot be written`, cause)
  }
}

const createTooLargeError = (file: string, maxBytes: number): FormatError =>
  new FormatError(
    `${file}: unpacks to more than the ${maxBytes} bytes that are allowed. Allow more if you trust its source (--max-bytes; in a program: maxBytes).`,
  )

/** The archive's bytes, unpacked by what its first bytes are, and counted. */
async function openStream(file: string, maxBytes: number): Promise<Readable> {
  const first = await readStart(file)
  const isStart = (...bytes: number[]): boolean => bytes.every((byte, i) => first[i] === byte)
  if (isStart(0x50, 0x4b))
    throw new UnsupportedError(
      `${file}: is a zip archive; expected tar, also compressed by gzip or Zstandard.`,
    )
  let passed = 0
  const count = new Transform({
    transform(chunk: Buffer, _, done) {
      passed += chunk.length
      if (passed > maxBytes + spareBytes) done(createTooLargeError(file, maxBytes))
      else done(null, chunk)
    },
  })
  const unpack = isStart(0x1f, 0x8b)
    ? createGunzip()
    : isStart(0x28, 0xb5, 0x2f, 0xfd)
      ? createZstdDecompress()
      : undefined
  const source = createReadStream(file)
  const parts = unpack ? [source, unpack, count] : [source, count]
  for (const [i, part] of parts.entries()) {
    const next = parts[i + 1]
    if (next) part.pipe(next as Transform)
    part.on('error', (error: Error) => count.destroy(error))
  }
  count.on('close', () => {
    source.destroy()
    unpack?.destroy()
  })
  return count
}

async function readStart(file: string): Promise<Uint8Array> {
  try {
    const handle = await open(file, 'r')
    try {
      const start = new Uint8Array(4)
      await handle.read(start, 0, start.length, 0)
      return start
    } finally {
      await handle.close()
    }
  } catch (cause) {
    if (findErrorCode(cause) === 'ENOENT')
      throw new FormatError(`${file}: there is no such file.`, { cause })
    throw toStorageError(`${file}: cannot be read`, cause)
  }
}

interface KnownPaths {
  readonly files: Set<string>
  readonly folders: Set<string>
}

/** The path that an entry is written to. */
function checkEntry(
  { name, type = 'file', linkname }: ParsedTarEntry['header'],
  { files, folders }: KnownPaths,
  file: string,
): string {
  const refuse = (reason: string): FormatError =>
    new FormatError(`${file}: ${quoteName(name)} ${reason}. Nothing of the archive is kept.`)
  if (type !== 'file' && type !== 'directory')
    throw refuse(`is a ${type}${linkname ? ` to ${quoteName(linkname)}` : ''}, expected a file`)
  const path = name.replace(/^(\.\/)+/, '').replace(/\/+$/, '')
  if (type === 'directory' && path.replace(/^\.$/, '') === '') return '.'
  const problem = findPathProblem(path)
  if (problem !== undefined) throw refuse(problem.slice(problem.lastIndexOf(': ') + 2))
  if (/\p{Cc}/u.test(path)) throw refuse('contains control codes')
  for (let at = path.indexOf('/'); at > 0; at = path.indexOf('/', at + 1)) {
    const above = path.slice(0, at)
    if (files.has(above)) throw refuse(`is in ${quoteName(above)}, a file`)
    folders.add(above)
  }
  if (files.has(path) || (type === 'file' && folders.has(path))) throw refuse('occurs twice')
  if (type === 'file') files.add(path)
  else folders.add(path)
  return path
}

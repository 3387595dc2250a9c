// The files of a published layout, from a folder or a web server.

import { createReadStream } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { FormatError, NotFoundError, OptionError } from '../../../base/errors.ts'
import { findErrorCode, toStorageError } from '../../files/system-errors.ts'
import { createTooLongError, describeUrl, getBytes, type GetOptions } from './guarded-get.ts'

export interface PublishedFiles {
  readonly name: string
  /**
   * The bytes of a file, at most `maxBytes`. Throws NotFoundError, FormatError if there are more.
   */
  read(path: string, maxBytes: number): AsyncIterable<Uint8Array>
}

/** Of an address that begins with http:// or https://, or of a folder. Throws OptionError. */
export function openPublishedFiles(location: string, options: GetOptions = {}): PublishedFiles {
  const [, scheme] = /^([a-z][a-z0-9+.-]+):\/\//i.exec(location) ?? []
  if (scheme === undefined) return openFolder(location)
  if (!/^https?$/i.test(scheme) || !URL.canParse(location))
    throw new OptionError(
      `${JSON.stringify(location)}: expected an address such as https://example.org/experts, or a folder.`,
    )
  return openSite(new URL(location), options)
}

function openSite(url: URL, options: GetOptions): PublishedFiles {
  const base = new URL(url)
  base.search = ''
  base.hash = ''
  base.pathname = `${base.pathname.replace(/\/+$/, '')}/`
  return {
    name: describeUrl(base),
    read: (path, maxBytes) => getBytes(new URL(path, base), maxBytes, options),
  }
}

const openFolder = (folder: string): PublishedFiles => ({
  name: folder,
  async *read(path, maxBytes) {
    const full = join(folder, path)
    const found = await lstat(full).catch((cause: unknown) => {
      if (['ENOENT', 'ENOTDIR'].includes(findErrorCode(cause) ?? ''))
        throw new NotFoundError(`${full}: there is no such file.`, { cause })
      throw toStorageError(`${full}: cannot be read`, cause)
    })
    if (!found.isFile()) throw new FormatError(`${full}: is not a regular file.`)
    if (found.size > maxBytes) throw createTooLongError(full, maxBytes, found.size)
    let read = 0
    for await (const chunk of createReadStream(full) as AsyncIterable<Buffer>) {
      read += chunk.length
      if (read > maxBytes) throw createTooLongError(full, maxBytes)
      yield chunk
    }
  },
})

// A zip file of a few small files, stored without compression, as Ray takes packages. The same files
// give the same bytes.

import { crc32 } from 'node:zlib'

export interface ZipEntry {
  readonly name: string
  readonly bytes: Uint8Array
}

const version = 20
const firstDay = 0x21 // 1980-01-01

/** Local headers with their bytes, then the directory, then its end. */
export function createZip(entries: readonly ZipEntry[]): Uint8Array {
  const parts: Uint8Array[] = []
  const directory: Uint8Array[] = []
  let at = 0
  for (const { name, bytes } of entries) {
    const title = Buffer.from(name)
    const head = createHead(title.length, bytes)
    directory.push(createDirectoryEntry(head, at), title)
    parts.push(head, title, bytes)
    at += head.length + title.length + bytes.length
  }
  const listing = Buffer.concat(directory)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(entries.length, 8)
  end.writeUInt16LE(entries.length, 10)
  end.writeUInt32LE(listing.length, 12)
  end.writeUInt32LE(at, 16)
  return Buffer.concat([...parts, listing, end])
}

function createHead(titleBytes: number, bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(30)
  head.writeUInt32LE(0x04034b50, 0)
  head.writeUInt16LE(version, 4)
  head.writeUInt16LE(firstDay, 12)
  head.writeUInt32LE(crc32(bytes), 14)
  head.writeUInt32LE(bytes.length, 18)
  head.writeUInt32LE(bytes.length, 22)
  head.writeUInt16LE(titleBytes, 26)
  return head
}

function createDirectoryEntry(head: Buffer, at: number): Buffer {
  const entry = Buffer.alloc(46)
  entry.writeUInt32LE(0x02014b50, 0)
  entry.writeUInt16LE(version, 4)
  head.copy(entry, 6, 4, 30)
  entry.writeUInt32LE(at, 42)
  return entry
}

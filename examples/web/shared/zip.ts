// A ZIP archive of files as they are, without compression: weights do not compress, and every system
// opens it. Format: PKWARE's APPNOTE 6.3, sizes below 4 GB.

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1
  return value >>> 0
})

function computeCrc32(bytes: Uint8Array): number {
  let value = 0xffffffff
  for (const byte of bytes) value = table[(value ^ byte) & 0xff]! ^ (value >>> 8)
  return (value ^ 0xffffffff) >>> 0
}

/** Fields of 2 and 4 bytes, the smallest byte first, as [bytes, value]. */
function writeFields(fields: readonly (readonly [2 | 4, number])[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(fields.reduce((sum, [size]) => sum + size, 0))
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true)
    else view.setUint32(at, value, true)
    at += size
  }
  return bytes
}

const utf8Names = 0x0800
const firstOfJanuary1980 = 0x0021

/** One archive of all files. */
export function createZip(files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>): Blob {
  const local: Uint8Array<ArrayBuffer>[] = []
  const central: Uint8Array<ArrayBuffer>[] = []
  let offset = 0
  for (const [path, bytes] of files) {
    const name = new TextEncoder().encode(path)
    const common = [
      [2, 20],
      [2, utf8Names],
      [2, 0],
      [2, 0],
      [2, firstOfJanuary1980],
      [4, computeCrc32(bytes)],
      [4, bytes.length],
      [4, bytes.length],
      [2, name.length],
      [2, 0],
    ] as const
    const header = writeFields([[4, 0x04034b50], ...common])
    local.push(header, name, bytes)
    const rest = [
      [2, 0],
      [2, 0],
      [2, 0],
      [4, 0],
      [4, offset],
    ] as const
    central.push(writeFields([[4, 0x02014b50], [2, 20], ...common, ...rest]), name)
    offset += header.length + name.length + bytes.length
  }
  const centralBytes = central.reduce((sum, part) => sum + part.length, 0)
  const end = writeFields([
    [4, 0x06054b50],
    [2, 0],
    [2, 0],
    [2, files.size],
    [2, files.size],
    [4, centralBytes],
    [4, offset],
    [2, 0],
  ])
  return new Blob([...local, ...central, end], { type: 'application/zip' })
}

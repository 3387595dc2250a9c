// A registered expert as one file: a tar archive, plain or compressed. The same expert gives the same
// bytes: names in order, no times, no owners.

import { createReadStream, createWriteStream } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, type Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip, createZstdCompress } from 'node:zlib'
import type { TarPackController } from 'modern-tar'
import type { ResolvedExpert } from '../../../registry/registry.ts'
import { compareByCodePoint } from '../../../registry/signing/resources.ts'
import { writeAtomically } from '../../files/atomic-write.ts'
import { listFiles } from '../../files/list-files.ts'
import { archiveIndexFile, encodeArchiveIndex } from './archive-index.ts'

const endings: readonly (readonly [RegExp, (() => Transform) | undefined])[] = [
  [/\.tar$/i, undefined],
  [/\.(tar\.gz|tgz)$/i, createGzip],
  [/\.tar\.zst$/i, createZstdCompress],
]

/** Whether a path is that of an archive by its ending: .tar, .tar.gz, .tgz, .tar.zst. */
export const isArchivePath = (path: string): boolean =>
  endings.some(([ending]) => ending.test(path))

/** Writes a new file atomically. Throws OptionError if the path exists. */
export async function exportArchive(expert: ResolvedExpert, out: string): Promise<void> {
  const compress = endings.find(([ending]) => ending.test(out))?.[1]
  const { createTarPacker } = await import('modern-tar')
  await writeAtomically(out, async (place) => {
    const { readable, controller } = createTarPacker()
    const steps = compress ? [compress()] : []
    const writing = pipeline([
      Readable.fromWeb(readable as Parameters<typeof Readable.fromWeb>[0]),
      ...steps,
      createWriteStream(place),
    ])
    const packing = packExpert(expert, controller).catch((error: unknown) => {
      controller.error(error)
      throw error
    })
    const [packed] = await Promise.allSettled([packing, writing])
    if (packed.status === 'rejected') throw packed.reason
    await writing
    const file = await open(place, 'r+')
    await file.sync().finally(() => file.close())
  })
}

async function packExpert(
  { id, version, hash, tags, manifest, location }: ResolvedExpert,
  controller: TarPackController,
): Promise<void> {
  const folder = `${id}-${version}`
  const index = encodeArchiveIndex([{ folder, hash, tags, manifest }])
  await packFile(controller, archiveIndexFile, index.length, [index])
  const files = (await listFiles(location)).toSorted((a, b) => compareByCodePoint(a.path, b.path))
  for (const { path, sizeBytes } of files) {
    const full = join(location, path)
    const chunks = sizeBytes < 2 ** 16 ? [await readFile(full)] : createReadStream(full)
    await packFile(controller, `${folder}/${path}`, sizeBytes, chunks)
  }
  controller.finalize()
}

async function packFile(
  controller: TarPackController,
  name: string,
  size: number,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const header = { name, size, mtime: new Date(0), mode: 0o644, uid: 0, gid: 0 }
  const writer = controller.add(header).getWriter()
  for await (const chunk of chunks) await writer.write(new Uint8Array(chunk))
  await writer.close()
}

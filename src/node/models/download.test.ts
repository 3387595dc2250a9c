import { createHash } from 'node:crypto'
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FormatError, NotFoundError, StorageError } from '../../base/errors.ts'
import { download, type DownloadProgress } from './download.ts'

const content = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 31) & 255))
const sha256 = createHash('sha256').update(content).digest('hex')

let directory = ''
let path = ''
let server: Server | undefined
const ranges: (string | undefined)[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'graft-download-'))
  path = join(directory, 'deep', 'file.bin')
  ranges.length = 0
})
afterEach(async () => {
  server?.closeAllConnections()
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)))
  server = undefined
  await rm(directory, { recursive: true })
})

/** Starts a server that notes the ranges asked for; returns its URL. */
async function serve(answer: RequestListener): Promise<string> {
  server = createServer((request, response) => {
    ranges.push(request.headers.range)
    answer(request, response)
  })
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/file.bin`
}

/** Serves the content with ranges, as much as `most` bytes a connection. */
const inPieces =
  (most: number): RequestListener =>
  (request, response) => {
    const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
    if (start >= content.length) return void response.writeHead(416).end()
    const rest = content.subarray(start)
    response.writeHead(start > 0 ? 206 : 200, { 'content-length': rest.length })
    if (rest.length <= most) return void response.end(rest)
    response.write(rest.subarray(0, most), () => setTimeout(() => response.destroy(), 20))
  }

describe('a download', () => {
  it('is written atomically, with progress reports', async () => {
    const seen: DownloadProgress[] = []
    await download(await serve(inPieces(1e9)), path, {
      sha256,
      onProgress: (progress) => seen.push(progress),
    })
    expect((await readFile(path)).equals(content)).toBe(true)
    expect(await readdir(join(directory, 'deep'))).toEqual(['file.bin'])
    expect(seen.at(0)).toEqual({ receivedBytes: 0, totalBytes: content.length })
    expect(seen.at(-1)).toEqual({ receivedBytes: content.length, totalBytes: content.length })
  })

  it('continues by itself where the connection broke', async () => {
    await download(await serve(inPieces(40_000)), path, { sha256 })
    expect((await readFile(path)).equals(content)).toBe(true)
    expect(ranges.length).toBeGreaterThan(1)
    expect(ranges.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range ?? ''))).toBe(true)
  })

  it('continues where an earlier run stopped', async () => {
    const url = await serve(inPieces(1e9))
    await download(url, path, { sha256 })
    await rm(path)
    await writeFile(`${path}.part`, content.subarray(0, 99_000))
    await download(url, path, { sha256 })
    expect((await readFile(path)).equals(content)).toBe(true)
    expect(ranges).toEqual([undefined, 'bytes=99000-'])
  })

  it('starts again where the server ignores ranges, where the part is too long, and where nothing proves that the part is of the same file', async () => {
    const url = await serve((_, response) => response.writeHead(200).end(content))
    await download(url, path)
    await writeFile(`${path}.part`, content.subarray(0, 10))
    await download(url, path, { sha256 })
    await writeFile(`${path}.part`, 'another version')
    await download(url, path)
    expect(ranges).toEqual([undefined, 'bytes=10-', undefined])
    expect((await readFile(path)).equals(content)).toBe(true)
    server!.removeAllListeners('request').on('request', inPieces(1e9))
    await writeFile(`${path}.part`, Buffer.alloc(200_000))
    await download(url, path, { sha256 })
    expect((await readFile(path)).equals(content)).toBe(true)
  })

  it('is refused and removed where the checksum or the size differs', async () => {
    const url = await serve(inPieces(1e9))
    const wrong = 'f'.repeat(64)
    await expect(download(url, path, { sha256: wrong })).rejects.toThrow(FormatError)
    await expect(download(url, path, { sha256: wrong })).rejects.toThrow(
      new RegExp(`SHA-256: got ${sha256}, expected ${wrong}`),
    )
    await expect(download(url, path, { sizeBytes: 7 })).rejects.toThrow(
      /size: got 100000, expected 7/,
    )
    expect(await readdir(join(directory, 'deep'))).toEqual([])
  })

  it('gives up when no answer comes', async () => {
    const url = await serve(() => undefined)
    const started = performance.now()
    const failed = download(url, path, { connectTimeoutMs: 200 })
    await expect(failed).rejects.toThrow(NotFoundError)
    await expect(failed).rejects.toThrow(/no answer within 0\.2 s/)
    expect(performance.now() - started).toBeLessThan(3_000)
  })

  it('gives up when the body stalls, and keeps what has arrived for the next run', async () => {
    const url = await serve(
      (_, response) =>
        void response
          .writeHead(200, { 'content-length': content.length })
          .write(content.subarray(0, 5_000)),
    )
    await expect(download(url, path, { sha256, stallTimeoutMs: 100 })).rejects.toThrow(
      /5000 bytes: nothing arrived for 0\.1 s.*resume from there/,
    )
    expect((await readFile(`${path}.part`)).length).toBe(5_000)
  })

  it('names what the server answered, and where there is no server', async () => {
    const url = await serve((_, response) => response.writeHead(404).end('no'))
    await expect(download(url, path)).rejects.toThrow(/answered 404/)
    server!.close()
    await expect(download('http://127.0.0.1:1/x', path)).rejects.toThrow(NotFoundError)
  })

  it('stops when it is asked to', async () => {
    const url = await serve((_, response) => void response.writeHead(200).write('a'))
    const stop = new AbortController()
    setTimeout(() => stop.abort(new Error('enough')), 50)
    await expect(download(url, path, { signal: stop.signal })).rejects.toThrow('enough')
  })

  it('reports that the directory cannot be made', async () => {
    await writeFile(join(directory, 'deep'), 'a file')
    await expect(download('http://127.0.0.1:1/x', path)).rejects.toThrow(StorageError)
    await expect(access(`${path}.part`)).rejects.toThrow(/ENOENT|ENOTDIR/)
  })
})

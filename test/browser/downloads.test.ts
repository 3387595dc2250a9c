// Downloads in Chromium from a server with faults: stored files, resumed downloads, and errors.
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { launchChromium } from '../support/chromium.ts'
import { type FaultyServer, startFaultyServer } from '../support/faulty-server.ts'
import { bundled, serve, type Site } from '../support/pages.ts'
import { createSparseGguf } from '../support/sparse-gguf.ts'

/** What pages/web-files.ts hands out; each gives a text in place of an error. */
interface WebFiles {
  download(url: string, sha256?: string): Promise<string[] | string>
  readParts(url: string, parts: readonly (readonly [number, number])[]): Promise<string[] | string>
  listDownloads(): Promise<readonly { readonly sizeBytes: number }[] | string>
  removeDownload(url: string): Promise<boolean>
  load(url: string, options?: object): Promise<string[] | string>
}

const pieceBytes = 8 << 20
const makeBytes = (length: number, seed: number): Uint8Array => {
  const words = new Uint32Array(Math.ceil(length / 4))
  let state = seed
  for (let i = 0; i < words.length; i++)
    words[i] = state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return new Uint8Array(words.buffer).subarray(0, length)
}
const bytes = makeBytes(2 * pieceBytes + 1234, 1)
const hashOf = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex')
const hash = hashOf(bytes)

let browser: Browser | undefined
let reason = ''
let site: Site
let server: FaultyServer
let context: BrowserContext
let page: Page
beforeAll(async () => {
  const found = await launchChromium()
  if ('reason' in found) reason = found.reason
  else browser = found.browser
  if (!browser) return
  const program = await bundled('test/browser/pages/web-files.ts')
  const models = fileURLToPath(new URL('../../src/catalogue/models', import.meta.url))
  site = await serve(new Map([['files', program]]), { folders: { models } })
}, 300_000)
afterAll(async () => {
  await browser?.close()
  await site?.close()
})
beforeEach(async ({ skip }) => {
  if (!browser) return skip(reason)
  server = await startFaultyServer(bytes)
  context = await browser.newContext()
  page = await openTab()
})
afterEach(async () => {
  await context?.close()
  await server?.close()
})

async function openTab(): Promise<Page> {
  const tab = await context.newPage()
  await tab.goto(`${site.origin}/files`)
  await tab.waitForFunction(() => 'files' in globalThis)
  return tab
}

/** Calls a function of the page. */
const call = <Name extends keyof WebFiles>(
  name: Name,
  ...args: unknown[]
): Promise<Awaited<ReturnType<WebFiles[Name]>>> => callIn(page, name, ...args)

const callIn = <Name extends keyof WebFiles>(
  tab: Page,
  name: Name,
  ...args: unknown[]
): Promise<Awaited<ReturnType<WebFiles[Name]>>> =>
  tab.evaluate(
    ([method, given]) =>
      (
        globalThis as unknown as {
          files: Record<string, (...values: unknown[]) => Promise<never>>
        }
      ).files[method]!(...given),
    [name, args] as [string, unknown[]],
  )

/** What the page is told of its room; Chromium itself reports a fixed 10 GB. */
const setEstimate = (quota: number): Promise<void> =>
  page.evaluate((given) => {
    const { storage } = (globalThis as unknown as { navigator: { storage: object } }).navigator
    const value = async () => ({ quota: given, usage: 0 })
    Object.defineProperty(storage, 'estimate', { value })
  }, quota)

describe('a file of the web', () => {
  it('is fetched once, and kept over a reload', async () => {
    expect(await call('download', server.url)).toEqual([hash, hash])
    await page.reload()
    await page.waitForFunction(() => 'files' in globalThis)
    expect(await call('download', server.url)).toEqual([hash, hash])
    expect(server.asked).toEqual([''])
    expect(await call('listDownloads')).toEqual([
      { url: server.url, sizeBytes: bytes.length, isWhole: true },
    ])
    expect(await call('removeDownload', server.url)).toBe(true)
    expect(await call('listDownloads')).toEqual([])
  })
  it('continues where its body was cut, in the same call', async () => {
    server.faults = { cutAfter: 5_000_000, cuts: 2, slowMs: 40 }
    expect(await call('download', server.url)).toEqual([hash, hash])
    const goesOn = expect.stringMatching(/^bytes=[1-9]\d+-$/)
    expect(server.asked).toEqual(['', goesOn, goesOn])
  })
  it('of an unreachable server reports its progress, and resumes in a later call', async () => {
    server.faults = { cutAfter: pieceBytes + 3_000_000, cuts: 1, slowMs: 40 }
    const running = call('download', server.url)
    while (server.asked.length < 1) await new Promise((resolve) => setTimeout(resolve, 10))
    server.faults.isDown = true
    expect(await running).toMatch(/StorageError: .*cannot be fetched/)
    expect(await call('listDownloads')).toEqual([
      { url: server.url, sizeBytes: pieceBytes, isWhole: false },
    ])
    server.faults = {}
    server.asked.length = 0
    expect(await call('download', server.url)).toEqual([hash, hash])
    expect(server.asked).toEqual([`bytes=${pieceBytes}-`])
  })
  it('whose answers bring nothing is given up with what came', async () => {
    server.faults = { cutAfter: 0 }
    expect(await call('download', server.url)).toMatch(
      new RegExp(`StorageError: .*: 0 of ${bytes.length} bytes were received .*load it again`),
    )
  })
  it('of a server without ranges is fetched whole, again after a cut', async () => {
    server.faults = { noRanges: true, cutAfter: pieceBytes + 5, cuts: 1 }
    expect(await call('download', server.url)).toEqual([hash, hash])
    server.faults = { noRanges: true }
    const parts = [
      [0, 10],
      [9_000_000, 100],
    ]
    expect(await call('readParts', server.url, parts)).toEqual([
      String(bytes.length),
      hashOf(bytes.subarray(0, 10)),
      hashOf(bytes.subarray(9_000_000, 9_000_100)),
    ])
  })
  it('without a length is fetched to its end', async () => {
    server.faults = { noLength: true, noRanges: true }
    expect(await call('download', server.url)).toEqual([hash, hash])
  })
  it.each([
    ['shorter', makeBytes(1000, 2), '"1"'],
    ['of another tag', makeBytes(bytes.length, 3), '"2"'],
    ['longer', makeBytes(bytes.length + 7, 4), '"1"'],
  ])('that is %s when a download goes on is fetched anew', async (_, other, etag) => {
    server.faults = { cutAfter: pieceBytes + 1000, cuts: 1 }
    const running = call('download', server.url)
    while (server.asked.length < 1) await new Promise((resolve) => setTimeout(resolve, 10))
    server.faults.isDown = true
    await running
    server.faults = {}
    server.bytes = other
    server.etag = etag
    expect(await call('download', server.url)).toEqual([hashOf(other), hashOf(other)])
  })
  it('is refused where a page of HTML comes, is not run, and nothing is kept', async () => {
    server.faults = { isPage: true }
    expect(await call('download', server.url)).toMatch(/FormatError: .*HTML page in place/)
    expect(await page.evaluate(() => 'wasRun' in globalThis)).toBe(false)
    expect(await call('load', server.url)).toMatch(/FormatError: .*HTML page in place/)
    expect(await call('listDownloads')).toEqual([])
  })
  it('reports what to do without permission (CORS), without the file, without the server', async () => {
    server.faults = { noCors: true }
    expect(await call('download', server.url)).toMatch(
      /StorageError: .*Access-Control-Allow-Origin/,
    )
    server.faults = { status: 404 }
    expect(await call('load', server.url)).toMatch(/NotFoundError: .*404/)
    server.faults = { status: 403 }
    expect(await call('load', server.url)).toMatch(/NotFoundError: .*403/)
    server.faults = { status: 503 }
    expect(await call('load', server.url)).toMatch(/StorageError: .*503/)
  })
  it('of another hash is refused, and nothing of it is kept', async () => {
    expect(await call('download', server.url, '00')).toMatch(/FormatError: .*expected 00/)
    expect(await call('listDownloads')).toEqual([])
    expect(await call('download', server.url, hash)).toEqual([hash, hash])
  })
  it('is read in runs of some MB', async () => {
    const parts = [
      [0, 100],
      [100, 100_000],
      [5_000_000, 10],
      [5_000_100, 3_000_000],
      [0, bytes.length],
    ] as const
    expect(await call('readParts', server.url, parts)).toEqual([
      String(bytes.length),
      ...parts.map(([offset, length]) => hashOf(bytes.subarray(offset, offset + length))),
    ])
    expect(server.asked).toEqual(['bytes=0-', 'bytes=4194304-8388607', 'bytes=8388608-16778449'])
  })
  it('that changes while it is read is an error, and an interrupted read resumes', async () => {
    server.faults = { cutAfter: 1_000_000, cuts: 2 }
    const parts = [[0, 3_000_000]] as const
    expect(await call('readParts', server.url, parts)).toEqual([
      String(bytes.length),
      hashOf(bytes.subarray(0, 3_000_000)),
    ])
    server.asked.length = 0
    server.faults = { slowMs: 50 }
    const reading = call('readParts', server.url, [
      [0, 10],
      [12_000_000, 10],
    ])
    while (server.asked.length < 1) await new Promise((resolve) => setTimeout(resolve, 1))
    server.etag = '"2"'
    expect(await reading).toMatch(/StorageError: .*changed on the server/)
  })
})

describe('a model that WebAssembly cannot address', () => {
  const large = [
    { name: 'token_embd.weight', shape: [131_072, 4096] },
    { name: 'output.weight', shape: [131_072, 4096] },
  ]
  it('is refused by its head before it is fetched, with both numbers', async () => {
    const { head, sizeBytes } = createSparseGguf(large)
    server.bytes = head
    server.sizeBytes = sizeBytes
    const refusal = 'Model "model.gguf": serving needs 4.3 GB, and WebAssembly addresses 4 GB'
    for (const faults of [{}, { noRanges: true }]) {
      server.faults = faults
      expect(await call('load', server.url)).toContain(`UnsupportedError: ${refusal}`)
    }
    expect(await call('listDownloads')).toEqual([])
    expect(server.sentBytes).toBeLessThan(200e6)
  })
  it('of several parts is refused by their index', async () => {
    const url = `${site.origin}/large/`
    await context.route(/\/large\//, (route) =>
      route.request().url().endsWith('index.json')
        ? route.fulfill({ json: { metadata: { total_size: 16e9 }, weight_map: {} } })
        : route.fulfill({ json: {} }),
    )
    expect(await call('load', url)).toMatch(/UnsupportedError: .*16.0 GB, and WebAssembly.*4 GB/)
  })
})

describe('room and tabs', () => {
  it('a file for which there is no room is refused before it is fetched', async () => {
    await setEstimate(1e6)
    expect(await call('download', server.url)).toMatch(/StorageError: .*needs 17 MB.*1 MB more/)
    expect(await call('listDownloads')).toEqual([])
  })
  it('a disk that becomes full leaves nothing', async () => {
    const cdp = await context.newCDPSession(page)
    await cdp.send('Storage.overrideQuotaForOrigin', { origin: site.origin, quotaSize: 10e6 })
    // As if there were room when it was asked for.
    await setEstimate(1e12)
    // Chromium says it in two ways: the quota, or a pipe that takes no more.
    expect(await call('download', server.url)).toMatch(
      /StorageError: .*(quota|cannot be kept, nothing of it was)/,
    )
    expect(await call('listDownloads')).toEqual([])
  })
  it('two tabs that want the same file fetch it once', async () => {
    server.faults = { slowMs: 20 }
    const other = await openTab()
    const results = await Promise.all(
      [page, other].map((tab) => callIn(tab, 'download', server.url)),
    )
    expect(results).toEqual([
      [hash, hash],
      [hash, hash],
    ])
    expect(server.asked).toEqual([''])
  })
  it('a tab that is closed in the middle leaves what another continues from', async () => {
    server.faults = { slowMs: 100 }
    const closed = await openTab()
    const running = callIn(closed, 'download', server.url).catch(() => undefined)
    const isBegun = async (): Promise<boolean> => {
      const list = await call('listDownloads')
      return typeof list !== 'string' && (list[0]?.sizeBytes ?? 0) >= pieceBytes
    }
    while (!(await isBegun())) await new Promise((resolve) => setTimeout(resolve, 50))
    await closed.close()
    await running
    server.faults = {}
    server.asked.length = 0
    expect(await call('download', server.url)).toEqual([hash, hash])
    expect(server.asked).toEqual([expect.stringMatching(/^bytes=(8388608|16777216)-$/)])
  })
  it('a model is read from the server where the browser has no file system, with a note', async () => {
    await page.evaluate(() => {
      const { storage } = (globalThis as unknown as { navigator: { storage: object } }).navigator
      const refuse = async (): Promise<never> => {
        throw new DOMException('no', 'SecurityError')
      }
      Object.defineProperty(storage, 'getDirectory', { value: refuse })
    })
    const url = `${site.origin}/models/stories260k/`
    const [text, note] = (await call('load', url)) as string[]
    expect(text).toBe(', there was a little girl')
    expect(note).toMatch(/read from the server each time.*private windows/i)
    expect(await call('load', url, { cache: true })).toMatch(/StorageError: .*OPFS/)
  })
  it('a second visit needs no network', async () => {
    const url = `${site.origin}/models/stories260k/`
    const [text] = (await call('load', url)) as string[]
    await context.route(/\/models\//, (route) => route.abort())
    expect(await call('load', url)).toEqual([text])
  })
})

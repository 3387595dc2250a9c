// Each failure that a user of Studio can meet: the page says in a sentence what to do, an open
// model still answers, and no content of a foreign file becomes part of the page.
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { launchChromium } from '../support/chromium.ts'
import { scratchFolder } from '../support/cli.ts'
import { type FaultyServer, startFaultyServer } from '../support/faulty-server.ts'
import { openStudioSite, type StudioSite } from '../support/studio-site.ts'
import { openContext } from '../support/web-examples.ts'

const scratch = scratchFolder()
let browser: Browser | undefined
let reason = ''
let site: StudioSite
let server: FaultyServer
let context: BrowserContext
let page: Page
beforeAll(async () => {
  const found = await launchChromium()
  if ('reason' in found) reason = found.reason
  else browser = found.browser
  if (browser) site = await openStudioSite(scratch.path)
}, 600_000)
afterAll(async () => {
  await browser?.close()
  await site?.close()
  scratch.remove()
})
beforeEach(async ({ skip }) => {
  if (!browser) return skip(reason)
  server = await startFaultyServer(new Uint8Array(3_000_000).fill(7))
  context = await openContext(browser)
  page = await context.newPage()
  page.setDefaultTimeout(300_000)
})
afterEach(async () => {
  await context?.close()
  await server?.close()
})

const openPage = (model?: string): Promise<unknown> =>
  page.goto(`${site.origin}/studio/${model ? `?model=${encodeURIComponent(model)}` : ''}`)
const openReady = async (): Promise<void> => {
  await openPage()
  await page.getByText(/stories260k · \d+ thread/).waitFor()
}
async function readProblem(): Promise<string> {
  await page.locator('#problem:not(:empty)').waitFor()
  return (await page.locator('#problem').textContent())!
}
/** The open model answers, and no tag or script of a file came into the page. */
async function expectUnharmed(): Promise<void> {
  await page.fill('#prompt', 'Once upon a time')
  await page.keyboard.press('Enter')
  await page.locator('.judge').waitFor()
  expect(await page.locator('main img, main script, main iframe').count()).toBe(0)
  expect(await page.evaluate('"wasRun" in globalThis')).toBe(false)
}
/** Puts a line before the program of Studio's worker, which has the model. */
const changeWorker = (line: string): Promise<unknown> =>
  page.route(/\/assets\/worker-[^/]*\.js$/, async (route) => {
    const program = await (await route.fetch()).text()
    const headers = { 'cross-origin-embedder-policy': 'require-corp' }
    const body = `${line}\n${program}`
    await route.fulfill({ contentType: 'text/javascript', headers, body })
  })

const hostile = '<img src=x onerror="globalThis.wasRun = 1">'

describe('a base from elsewhere', { timeout: 600_000 }, () => {
  it.each([
    ['of a server without CORS', { noCors: true }, /Access-Control-Allow-Origin.*choose it as/],
    ['that is an HTML page', { isPage: true }, /HTML page in place of the file.*check the address/],
    ['that is not there', { status: 404 }, /404/],
    ['that breaks off', { cutAfter: 0 }, /0 of .*bytes were received.*load it again/],
    ['that is no model', {}, /model\.gguf.*(GGUF|magic)/],
  ])('%s', async (_, faults, sentence) => {
    server.faults = faults
    await openPage(server.url)
    expect(await readProblem()).toMatch(sentence)
    expect(await page.evaluate('"wasRun" in globalThis')).toBe(false)
    expect(await page.textContent('#model')).toBe('No model')
  })
})

describe('files that are dropped', { timeout: 600_000 }, () => {
  it.each([
    ['page.gguf', `<!doctype html><script>globalThis.wasRun = 1</script>${hostile}`, /page/],
    ['rows.jsonl', `<!doctype html>${hostile}`, /rows\.jsonl/],
    ['adapter_config.json', hostile, /adapter_(config|model)/],
  ])('%s that is a page leaves the open model', async (name, text, sentence) => {
    await openReady()
    const file = { name, mimeType: '', buffer: Buffer.from(text) }
    await page.setInputFiles('#file', [file])
    expect(await readProblem()).toMatch(sentence)
    await expectUnharmed()
  })
})

describe('a browser that keeps nothing', { timeout: 600_000 }, () => {
  it('without OPFS, as in some private windows: the base answers', async () => {
    await changeWorker(
      'navigator.storage.getDirectory = async () => { throw new DOMException("no", "SecurityError") };',
    )
    await openReady()
    expect(await readProblem()).toMatch(/Experts cannot be kept.*usual window/)
    await expectUnharmed()
  })
  it('whose storage is full reports that when an expert is trained', async () => {
    await openReady()
    const cdp = await context.newCDPSession(page)
    await cdp.send('Storage.overrideQuotaForOrigin', { origin: site.origin, quotaSize: 1000 })
    await page.click('#example')
    await page.getByText('8 rows, 8 learned').waitFor()
    await page.fill('#steps', '2')
    await page.click('#train')
    expect(await readProblem()).toMatch(/room|quota/)
    await cdp.send('Storage.overrideQuotaForOrigin', { origin: site.origin })
    await expectUnharmed()
  })
})

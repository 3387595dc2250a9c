// Studio as graft serve offers it, built as for the package: opened in Chromium from the routes of
// a server; it must load nothing from elsewhere.
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchChromium } from '../support/chromium.ts'
import { scratchFolder } from '../support/cli.ts'
import { openStudioSite, type StudioSite } from '../support/studio-site.ts'
import {
  findAxeProblem,
  listViolations,
  openContext,
  openExample,
  takeScreenshots,
} from '../support/web-examples.ts'

const scratch = scratchFolder()
let browser: Browser | undefined
let reason = ''
let site: StudioSite
beforeAll(async () => {
  const found = await launchChromium()
  if ('reason' in found) reason = found.reason
  else browser = found.browser
  if (!browser) return
  site = await openStudioSite(scratch.path)
}, 300_000)
afterAll(async () => {
  await browser?.close()
  await site?.close()
  scratch.remove()
})

async function openStudioPage(): Promise<{
  page: Page
  problems: string[]
  asked: string[]
  close(): Promise<void>
}> {
  const context = await openContext(browser!)
  const asked: string[] = []
  context.on('request', (request) => void asked.push(request.url()))
  const { page, problems } = await openExample(context, `${site.origin}/studio`)
  await page.getByText(/stories260k · \d+ thread/).waitFor()
  return { page, problems, asked, close: () => context.close() }
}

describe('Studio of graft serve', () => {
  it('opens the served base and answers, and loads nothing from elsewhere', async ({ skip }) => {
    if (!browser) return skip(reason)
    const { page, problems, asked, close } = await openStudioPage()
    await page.click('#example')
    await page.getByText('8 rows, 8 learned').waitFor()
    await page.fill('#steps', '3')
    await page.click('#train')
    await page.getByText('cat-stories is taught and kept').waitFor()
    await page.fill('#prompt', 'Once upon a time')
    await page.keyboard.press('Enter')
    await page.locator('.judge').waitFor()
    await takeScreenshots(page, 'studio-served')
    const violations = findAxeProblem() ? [] : await listViolations(page)
    expect(await page.evaluate('crossOriginIsolated')).toBe(true)
    await close()
    expect(problems).toEqual([])
    expect(violations).toEqual([])
    const elsewhere = asked.filter((url) => !url.startsWith(`${site.origin}/studio`))
    expect(elsewhere.filter((url) => !/^(blob|data):/.test(url))).toEqual([])
    const places = asked.map((url) => url.replace(/[^/]*$/, ''))
    expect(places).toContainEqual(expect.stringMatching(/\/served\/[0-9a-f]{16}\/stories260k\/$/))
    expect(places).toContain(`${site.origin}/studio/ort/`)
  })
  it('shows what is learned of a long row, also on a narrow screen', async ({ skip }) => {
    if (!browser) return skip(reason)
    const { page, problems, close } = await openStudioPage()
    await page.setViewportSize({ width: 390, height: 800 })
    const rows = `{"prompt":"${'long before the answer '.repeat(30)}","completion":" seen"}\n`
    const file = { name: 'long.jsonl', mimeType: 'text/plain', buffer: Buffer.from(rows) }
    await page.setInputFiles('#file', file)
    await page.getByText('1 row, 1 learned').waitFor()
    const hidden = await page.evaluate(`
      document.querySelector('.sample mark').getBoundingClientRect().bottom -
      document.querySelector('.sample').getBoundingClientRect().bottom`)
    const header = await page.locator('header').evaluate((top) => top.clientHeight)
    await takeScreenshots(page, 'studio-narrow')
    await close()
    expect(problems).toEqual([])
    expect(hidden).toBeLessThan(0)
    expect(header).toBeLessThan(200)
  })
  it('reports where keys keep the base from it, and opens the small model', async ({ skip }) => {
    if (!browser) return skip(reason)
    site.keysAreNeeded = true
    const { page, problems, asked, close } = await openStudioPage()
    await page.getByText(/gives its model to requests with a key alone/).waitFor()
    await takeScreenshots(page, 'studio-with-keys')
    await close()
    expect(problems).toEqual([])
    expect(asked.filter((url) => url.includes('/served/'))).toEqual([])
  })
})

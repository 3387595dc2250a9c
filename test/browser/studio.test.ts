// Studio as graft serve offers it, built as for the package: opened in Chromium from the routes of a
// server, with an eye on where it loads from.
import { createAdaptorServer } from '@hono/node-server'
import type { Server as HttpServer } from 'node:http'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildStudio } from '../../scripts/build-studio.mjs'
import { listen } from '../../src/node/serve/listen.ts'
import { type OpenedStudio, openStudio } from '../../src/node/serve/studio/open-studio.ts'
import { createServer } from '../../src/server/app.ts'
import type { Service } from '../../src/server/service.ts'
import { launchChromium } from '../support/chromium.ts'
import { scratchFolder } from '../support/cli.ts'
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
let studio: OpenedStudio
let server: HttpServer
let origin: string
let keysAreNeeded = false
beforeAll(async () => {
  const found = await launchChromium()
  if ('reason' in found) reason = found.reason
  else browser = found.browser
  if (!browser) return
  await buildStudio(scratch.path)
  const needsKey = async (): Promise<boolean> => keysAreNeeded
  studio = await openStudio({ model: 'stories260k', page: scratch.path, needsKey })
  const { fetch } = createServer({ service: {} as Service, routes: studio.routes })
  server = createAdaptorServer({ fetch, overrideGlobalObjects: false }) as HttpServer
  origin = await listen(server, '127.0.0.1', 0)
}, 300_000)
afterAll(async () => {
  await browser?.close()
  server?.closeAllConnections()
  server?.close()
  await studio?.close()
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
  const { page, problems } = await openExample(context, `${origin}/studio`)
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
    const elsewhere = asked.filter((url) => !url.startsWith(`${origin}/studio`))
    expect(elsewhere.filter((url) => !/^(blob|data):/.test(url))).toEqual([])
    const places = asked.map((url) => url.replace(/[^/]*$/, ''))
    expect(places).toContainEqual(expect.stringMatching(/\/served\/[0-9a-f]{16}\/stories260k\/$/))
    expect(places).toContain(`${origin}/studio/ort/`)
  })
  it('says where keys keep the base from it, and opens the small model', async ({ skip }) => {
    if (!browser) return skip(reason)
    keysAreNeeded = true
    const { page, problems, asked, close } = await openStudioPage()
    await page.getByText(/gives its model to requests with a key alone/).waitFor()
    await takeScreenshots(page, 'studio-with-keys')
    await close()
    expect(problems).toEqual([])
    expect(asked.filter((url) => url.includes('/served/'))).toEqual([])
  })
})

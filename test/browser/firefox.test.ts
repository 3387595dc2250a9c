// MicroLoRA's page in Debian's Firefox ESR, driven over WebDriver BiDi.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { scratchFolder } from '../support/cli.ts'
import { root } from '../support/sources.ts'
import type { StaticSite } from '../support/static-site.ts'
import { buildExamples, serveExamples } from '../support/web-examples.ts'

/** What is used of puppeteer-core, which is installed for these tests alone. */
interface Puppeteer {
  launch(options: object): Promise<FirefoxBrowser>
}
interface FirefoxBrowser {
  version(): Promise<string>
  newPage(): Promise<FirefoxPage>
  close(): Promise<void>
}
interface FirefoxPage {
  setDefaultTimeout(milliseconds: number): void
  goto(url: string): Promise<unknown>
  click(selector: string): Promise<void>
  waitForFunction(text: string): Promise<unknown>
  evaluate(text: string): Promise<unknown>
  close(): Promise<void>
}

const executablePath = process.env['FIREFOX'] ?? '/usr/bin/firefox-esr'
const driver = join(
  root,
  'test/browser/node_modules/puppeteer-core/lib/puppeteer/puppeteer-core.js',
)

function findProblem(): string | undefined {
  if (!existsSync(executablePath))
    return 'there is no Firefox here; install it (apt-get install firefox-esr) or name one in FIREFOX'
  return existsSync(driver) ? undefined : 'puppeteer-core is not installed: npm ci in test/browser'
}

const scratch = scratchFolder()
const problem = findProblem()
let firefox: FirefoxBrowser | undefined
let site: StaticSite | undefined
beforeAll(async () => {
  if (problem !== undefined) return
  const { default: puppeteer } = (await import(pathToFileURL(driver).href)) as {
    default: Puppeteer
  }
  firefox = await puppeteer.launch({ browser: 'firefox', executablePath, headless: true })
  await buildExamples(scratch.path)
  site = await serveExamples(scratch.path)
}, 300_000)
afterAll(async () => {
  await firefox?.close()
  await site?.close()
  scratch.remove()
})

async function openPage(path: string): Promise<FirefoxPage> {
  const page = await firefox!.newPage()
  page.setDefaultTimeout(120_000)
  await page.goto(`${site!.origin}/${path}`)
  return page
}
const waitForText = (page: FirefoxPage, text: string): Promise<unknown> =>
  page.waitForFunction(`document.body.innerText.includes(${JSON.stringify(text)})`)
const readText = async (page: FirefoxPage, selector: string): Promise<string> =>
  String(await page.evaluate(`document.querySelector('${selector}').textContent`))

describe('in Firefox', () => {
  it('MicroLoRA learns', async ({ skip }) => {
    if (problem !== undefined) return skip(problem)
    console.log(await firefox!.version())
    const page = await openPage('micro/basic.html')
    await waitForText(page, 'error')
    const before = Number(/error ([\d.]+)/.exec(await readText(page, '#state'))![1])
    await page.click('#many')
    await waitForText(page, 'after 100 steps')
    const after = Number(/error ([\d.]+)/.exec(await readText(page, '#state'))![1])
    expect(after).toBeLessThan(0.1 * before)
    await page.close()
  })
})

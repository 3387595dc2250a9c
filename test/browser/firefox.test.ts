// MicroLoRA's page in Debian's Firefox ESR, driven over WebDriver BiDi.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { scratchFolder } from '../support/cli.ts'
import {
  findFirefoxProblem,
  type FirefoxBrowser,
  type FirefoxPage,
  launchFirefox,
} from '../support/firefox.ts'
import type { StaticSite } from '../support/static-site.ts'
import { buildExamples, serveExamples } from '../support/web-examples.ts'

const scratch = scratchFolder()
const problem = findFirefoxProblem()
let firefox: FirefoxBrowser | undefined
let site: StaticSite | undefined
beforeAll(async () => {
  if (problem !== undefined) return
  firefox = await launchFirefox()
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

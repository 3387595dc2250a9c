// A second visit to the offline chat with SmolLM2 and without a network: everything comes from the
// service worker and the browser's file system. Prints how long it takes to the first token.
import { basename, dirname } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchChromium } from '../support/chromium.ts'
import { scratchFolder } from '../support/cli.ts'
import { serveFolders, type StaticSite } from '../support/static-site.ts'
import { buildExamples, openContext, openExample } from '../support/web-examples.ts'
import { smollm2Q4 } from '../smollm2.ts'

const scratch = scratchFolder()
let browser: Browser | undefined
let reason = ''
let site: StaticSite | undefined
let model = ''
beforeAll(async () => {
  const found = await launchChromium()
  if ('reason' in found) reason = found.reason
  else browser = found.browser
  const base = await smollm2Q4()
  if ('reason' in base) reason = base.reason
  if (reason !== '' || 'reason' in base) return
  await buildExamples(scratch.path)
  model = basename(base.gguf.name)
  const folders = { '/': scratch.path, '/models/': dirname(base.gguf.name) }
  site = await serveFolders({ folders, isolated: true })
}, 600_000)
afterAll(async () => {
  await browser?.close()
  await site?.close()
  scratch.remove()
})

/** Asks, and gives the seconds since the page was opened at which the first text stood there. */
async function measureFirstToken(page: Page): Promise<number> {
  await page.locator('#send:enabled').waitFor()
  await page.evaluate(`{
    const form = document.getElementById('ask')
    document.getElementById('prompt').value = 'Name a colour.'
    const turns = document.getElementById('turns')
    globalThis.first = new Promise((resolve) => {
      new MutationObserver(() => {
        if ([...turns.querySelectorAll('.answer')].some((one) => one.textContent !== ''))
          resolve(performance.now() / 1000)
      }).observe(turns, { childList: true, subtree: true, characterData: true })
    })
    form.requestSubmit()
  }`)
  return Number(await page.evaluate('globalThis.first'))
}

describe('a second visit', () => {
  it('writes without a network', { timeout: 900_000 }, async ({ skip }) => {
    if (!browser || !site) return skip(reason)
    const context = await openContext(browser)
    const url = `${site.origin}/offline/index.html?model=${encodeURIComponent(`/models/${model}`)}`
    const { page, problems } = await openExample(context, url)
    page.setDefaultTimeout(600_000)
    await page.getByText('ready without a network').waitFor()
    const first = await measureFirstToken(page)
    await context.setOffline(true)
    const asked = site.requests.length
    await page.reload()
    const second = await measureFirstToken(page)
    console.log(
      `from opening the page to the first token: ${first.toFixed(1)} s with the download, ${second.toFixed(1)} s on the second visit, without a network`,
    )
    expect(site.requests.slice(asked)).toEqual([])
    expect(problems).toEqual([])
    await context.close()
  })
})

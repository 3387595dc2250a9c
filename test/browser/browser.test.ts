// Suites in a real browser: each page of the table is bundled, opened, and asked for the outcome of
// its tests.
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchChromium } from '../support/chromium.ts'
import { bundled, serve, type Site } from '../support/pages.ts'
import type { Outcome } from './pages/suite.ts'

/**
 * Pages that run a suite, and how many tests each has at least: a page that runs none would pass.
 */
const suites = [
  { page: 'store', fewest: 25 },
  { page: 'micro', fewest: 180 },
  { page: 'worker', fewest: 17 },
  { page: 'grammar', fewest: 1 },
  { page: 'registry', fewest: 33 },
  { page: 'operations', fewest: 640 },
  { page: 'web-engine', fewest: 6 },
  { page: 'web-worker', fewest: 10 },
] as const
const programs: Readonly<
  Record<
    (typeof suites)[number]['page'] | 'tabs' | 'example' | 'worker-object' | 'engine-worker',
    string
  >
> = {
  store: 'test/browser/pages/store.ts',
  micro: 'test/browser/pages/micro.ts',
  worker: 'test/browser/pages/worker.ts',
  grammar: 'test/browser/pages/grammar.ts',
  registry: 'test/browser/pages/registry.ts',
  operations: 'test/browser/pages/operations.ts',
  'web-engine': 'test/browser/pages/web-engine.ts',
  'web-worker': 'test/browser/pages/web-worker.ts',
  'worker-object': 'test/browser/pages/worker-object.ts',
  'engine-worker': 'test/browser/pages/engine-worker.ts',
  tabs: 'test/browser/pages/tabs.ts',
  example: 'examples/browser-storage/page.ts',
}

let browser: Browser | undefined
let reason = ''
let site: Site
beforeAll(async () => {
  const found = await launchChromium()
  if ('reason' in found) reason = found.reason
  else browser = found.browser
  if (!browser) return
  const pages = Object.entries(programs).map(async ([name, entry]): Promise<[string, string]> => [
    name,
    await bundled(entry),
  ])
  site = await serve(new Map(await Promise.all(pages)), {
    folders: { models: fileURLToPath(new URL('../../src/catalogue/models', import.meta.url)) },
  })
}, 300_000)
afterAll(async () => {
  await browser?.close()
  await site?.close()
})

type Context = Awaited<ReturnType<Browser['newContext']>>

/** What test/browser/pages/tabs.ts hands out. */
interface Tab {
  count(place: string, times: number): Promise<number>
  total(place: string): Promise<number>
}

/** A tab on a page, and what goes wrong in it outside of its tests. */
async function openPage(
  context: Context,
  name: string,
): Promise<{ tab: Page; problems: string[] }> {
  const tab = await context.newPage()
  tab.setDefaultTimeout(120_000) // the stage has a limit of its own
  const problems: string[] = []
  tab.on('pageerror', (error) => void problems.push(String(error)))
  await tab.goto(`${site.origin}/${name}`)
  return { tab, problems }
}

describe('in Chromium', () => {
  for (const { page, fewest } of suites)
    it(`the suite of ${page} is green`, async ({ skip }) => {
      if (!browser) return skip(reason)
      const context = await browser.newContext()
      const { tab, problems } = await openPage(context, page)
      // A page that loads ONNX Runtime first begins its suite later.
      await tab.waitForFunction(() => 'outcomes' in globalThis)
      const outcomes = await tab.evaluate(
        () => (globalThis as unknown as { outcomes: Promise<Outcome[]> }).outcomes,
      )
      await context.close()
      expect(problems).toEqual([])
      expect(outcomes.filter(({ error }) => error !== undefined)).toEqual([])
      expect(outcomes.length).toBeGreaterThanOrEqual(fewest)
      for (const { name, skipped } of outcomes)
        if (skipped !== undefined) console.log(`skipped in Chromium: ${name}: ${skipped}`)
    })

  for (const place of ['IndexedDB', 'localStorage'])
    it(`two tabs that write the same user in ${place} lose nothing, and the later writer gets an error`, async ({
      skip,
    }) => {
      if (!browser) return skip(reason)
      const context = await browser.newContext()
      const tabs = await Promise.all([openPage(context, 'tabs'), openPage(context, 'tabs')])
      const told = await Promise.all(
        tabs.map(({ tab }) =>
          tab.evaluate((name) => (globalThis as unknown as Tab).count(name, 40), place),
        ),
      )
      const totals = await Promise.all(
        tabs.map(({ tab }) =>
          tab.evaluate((name) => (globalThis as unknown as Tab).total(name), place),
        ),
      )
      await context.close()
      expect(totals).toEqual([80, 80])
      expect(told[0]! + told[1]!).toBeGreaterThan(0)
    })

  it('the example of browser storage remembers over a reload, in localStorage and in IndexedDB', async ({
    skip,
  }) => {
    if (!browser) return skip(reason)
    const context = await browser.newContext()
    const { tab, problems } = await openPage(context, 'example')
    const read = async (): Promise<string[]> => {
      await tab.waitForFunction(
        () => (globalThis as unknown as { document: { title: string } }).document.title === 'done',
      )
      return tab.locator('p').allTextContents()
    }
    const first = await read()
    await tab.reload()
    const second = await read()
    await context.close()
    expect(problems).toEqual([])
    expect(first.map((line) => line.replace(/loss .*|\d+ bytes/, ''))).toEqual([
      'localStorage: 20 adaptations, ',
      'IndexedDB: 20 adaptations, ',
      'checkpoint 1, ',
    ])
    expect(second.map((line) => line.replace(/loss .*|\d+ bytes/, ''))).toEqual([
      'localStorage: 40 adaptations, ',
      'IndexedDB: 40 adaptations, ',
      'checkpoint 2, ',
    ])
    const lossOf = (line: string): number => Number(/loss ([\d.]+)/.exec(line)![1])
    for (const i of [0, 1]) expect(lossOf(second[i]!)).toBeLessThan(lossOf(first[i]!))
  })
})

// The contract of the whole engine in Debian's Firefox ESR, driven over WebDriver BiDi: in a page and
// in a worker, as Chromium runs it.
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findFirefoxProblem, type FirefoxBrowser, launchFirefox } from '../support/firefox.ts'
import { bundled, serve, type Site } from '../support/pages.ts'
import type { Outcome } from './pages/suite.ts'

const suites = [
  { page: 'web-engine', fewest: 6 },
  { page: 'web-worker', fewest: 10 },
] as const

const problem = findFirefoxProblem()
let firefox: FirefoxBrowser | undefined
let site: Site | undefined
beforeAll(async () => {
  if (problem !== undefined) return
  firefox = await launchFirefox()
  const names = [...suites.map(({ page }) => page), 'engine-worker']
  const programs = names.map(
    async (name) => [name, await bundled(`test/browser/pages/${name}.ts`)] as const,
  )
  const models = fileURLToPath(new URL('../../src/catalogue/models', import.meta.url))
  site = await serve(new Map(await Promise.all(programs)), { folders: { models } })
}, 600_000)
afterAll(async () => {
  await firefox?.close()
  await site?.close()
})

describe('in Firefox', () => {
  for (const { page: name, fewest } of suites)
    it(`the suite of ${name} is green`, { timeout: 600_000 }, async ({ skip }) => {
      if (problem !== undefined) return skip(problem)
      const page = await firefox!.newPage()
      page.setDefaultTimeout(500_000)
      await page.goto(`${site!.origin}/${name}`)
      await page.waitForFunction('"outcomes" in globalThis')
      const text = await page.evaluate('outcomes.then((all) => JSON.stringify(all))')
      await page.close()
      const outcomes = JSON.parse(String(text)) as Outcome[]
      console.log(`${await firefox!.version()}: ${outcomes.length} tests of ${name}`)
      expect(outcomes.filter(({ error }) => error !== undefined)).toEqual([])
      expect(outcomes.length).toBeGreaterThanOrEqual(fewest)
    })
})

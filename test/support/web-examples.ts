// examples/web as it is deployed: built once by Vite, served from this machine, and opened page by
// page in Chromium with an eye on errors and on the rules of accessibility.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { build } from 'vite'
import { root } from './sources.ts'
import { serveFolders, type StaticSite } from './static-site.ts'

/** Vite's bundle of all pages, in `target`. */
export const buildExamples = (target: string): Promise<unknown> =>
  build({
    configFile: join(root, 'examples', 'web', 'vite.config.ts'),
    logLevel: 'error',
    build: { outDir: target, emptyOutDir: true, minify: false, reportCompressedSize: false },
  })

/**
 * The bundle with the model that travels with the library beside it. One thread where it is not
 * isolated, which is quicker for a model this small.
 */
export const serveExamples = (target: string, isolated = false): Promise<StaticSite> =>
  serveFolders({
    folders: { '/': target, '/models/': join(root, 'src', 'catalogue', 'models') },
    isolated,
  })

export interface OpenedExample {
  readonly page: Page
  /** What went wrong in the page outside of what it tells its user. */
  readonly problems: string[]
}

/** A tab on one of the pages. */
export async function openExample(context: BrowserContext, url: string): Promise<OpenedExample> {
  const page = await context.newPage()
  page.setDefaultTimeout(60_000)
  const problems: string[] = []
  page.on('pageerror', (error) => void problems.push(String(error)))
  page.on('console', (message) => {
    // A folder of a model is asked for files that it may lack.
    const isOptionalFile = message.location().url.includes('/models/')
    if (message.type() === 'error' && !isOptionalFile) problems.push(message.text())
  })
  await page.goto(url)
  return { page, problems }
}

const axePath = join(root, 'test', 'browser', 'node_modules', 'axe-core', 'axe.min.js')

/** Why the rules of accessibility cannot be tried, or undefined. */
export const findAxeProblem = (): string | undefined =>
  existsSync(axePath) ? undefined : 'axe-core is not installed: npm ci in test/browser'

interface Violation {
  readonly id: string
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[]
}

/** What axe-core finds, in light and in dark: `light: color-contrast: <p …>`. */
export async function listViolations(page: Page): Promise<string[]> {
  const found: string[] = []
  await page.evaluate(readFileSync(axePath, 'utf8'))
  for (const scheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
    const { violations } = await page.evaluate(() =>
      (globalThis as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } }).axe.run(),
    )
    for (const { id, nodes } of violations)
      for (const { html, failureSummary = '' } of nodes)
        found.push(`${scheme}: ${id}: ${html.slice(0, 160)} ${failureSummary}`)
  }
  return found
}

/**
 * Pictures of the page, light and dark, into the folder that GRAFT_SCREENSHOTS names; none where it
 * is not set.
 */
export async function takeScreenshots(page: Page, name: string): Promise<void> {
  const folder = process.env['GRAFT_SCREENSHOTS']
  if (folder === undefined) return
  for (const scheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: scheme })
    await page.screenshot({ path: join(folder, `${name}-${scheme}.png`), fullPage: true })
  }
}

/** A new context for each test, so that what one page keeps is not there for the next. */
export const openContext = (browser: Browser): Promise<BrowserContext> =>
  browser.newContext({ viewport: { width: 1100, height: 800 } })

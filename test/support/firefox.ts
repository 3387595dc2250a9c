// Debian's Firefox ESR for tests, driven over WebDriver BiDi. Independent of pages.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from './sources.ts'

/** What is used of puppeteer-core, which is installed for the tests of browsers alone. */
interface Puppeteer {
  launch(options: object): Promise<FirefoxBrowser>
}
export interface FirefoxBrowser {
  version(): Promise<string>
  newPage(): Promise<FirefoxPage>
  close(): Promise<void>
}
export interface FirefoxPage {
  setDefaultTimeout(milliseconds: number): void
  goto(url: string): Promise<unknown>
  reload(): Promise<unknown>
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

/** Why there is no Firefox for a test, or undefined. */
export function findFirefoxProblem(): string | undefined {
  if (!existsSync(executablePath))
    return 'there is no Firefox here; install it (apt-get install firefox-esr) or name one in FIREFOX'
  return existsSync(driver) ? undefined : 'puppeteer-core is not installed: npm ci in test/browser'
}

export async function launchFirefox(): Promise<FirefoxBrowser> {
  const { default: puppeteer } = (await import(pathToFileURL(driver).href)) as {
    default: Puppeteer
  }
  const limits = { protocolTimeout: 600_000, timeout: 120_000 }
  return puppeteer.launch(
    Object.assign({ browser: 'firefox', executablePath, headless: true }, limits),
  )
}

// A Chromium for tests: the installed one, or Debian's, which is installed if this process may.
// Independent of pages.
import { existsSync } from 'node:fs'
import { chromium, type Browser } from 'playwright-core'
import { canInstall, installPackage } from './debian-package.ts'

const paths = [
  process.env['CHROMIUM'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].filter((path) => path !== undefined)
const hint = 'install it (apt-get install chromium) or name one in CHROMIUM'
/**
 * A machine that does much else at once may hold a start up for longer than a second start takes.
 */
const launches = 2
const launchMs = 60_000

export type FoundBrowser = { readonly browser: Browser } | { readonly reason: string }

/** A running browser, or why there is none; installed where there is none and it may be. */
export async function launchChromium({ mayInstall = true } = {}): Promise<FoundBrowser> {
  const found =
    paths.find((path) => existsSync(path)) ??
    (mayInstall ? await install() : { reason: `there is no Chromium here; ${hint}` })
  if (typeof found !== 'string') return found
  let problem: unknown
  for (let attempt = 1; attempt <= launches; attempt++)
    try {
      // As root, which containers run as, Chromium's sandbox does not start; the pages are ours.
      const args = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu']
      return { browser: await chromium.launch({ executablePath: found, args, timeout: launchMs }) }
    } catch (error) {
      problem = error
    }
  return { reason: `${found} does not start: ${String(problem).split('\n')[0]}` }
}

/** Debian's package, where it may be installed. */
async function install(): Promise<string | { reason: string }> {
  if (!canInstall()) return { reason: `there is no Chromium here; ${hint}` }
  if (await installPackage('chromium')) return '/usr/bin/chromium'
  return { reason: `apt-get could not install Chromium; ${hint}` }
}

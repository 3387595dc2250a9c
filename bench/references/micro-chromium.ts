// Runs the cases of `graft bench micro` alternately in Node and in Chromium and prints a line of
// JSON for each. Batches last milliseconds, because a browser's clock has steps of up to 100 µs.
// Usage: node bench/references/micro-chromium.ts

import { microCases, computeQuantile, timeBatches } from '../../src/cli/bench/micro-cases.ts'
import { launchChromium } from '../../test/support/chromium.ts'
import { bundled, serve } from '../../test/support/pages.ts'

const batchUs = 5000
const batches = 9
const rounds = 9
const warmUps = 12
const readClockUs = (): number => performance.now() * 1000

/** What test/browser/pages/micro-bench.ts hands out. */
interface BenchPage {
  readonly kernels: string
  measure(name: string, size: number, batches: number): number
}

const found = await launchChromium({ mayInstall: false })
if ('reason' in found) {
  console.error(found.reason)
  process.exit(1)
}
const site = await serve(
  new Map([['bench', await bundled('test/browser/pages/micro-bench.ts', true)]]),
)
try {
  const page = await found.browser.newPage()
  await page.goto(`${site.origin}/bench`)
  const kernels = await page.evaluate(() => (globalThis as unknown as BenchPage).kernels)
  for (const { name, make } of microCases) {
    const call = make()
    const inNode = (size: number): number =>
      computeQuantile(timeBatches(call, { now: readClockUs, size, batches }), 0.5)
    const inPage = (size: number): Promise<number> =>
      page.evaluate((given) => (globalThis as unknown as BenchPage).measure(...given), [
        name,
        size,
        batches,
      ] as [string, number, number])
    let size = 1000
    for (let i = 0; i < warmUps; i++)
      size = Math.ceil(batchUs / Math.max(inNode(size), 0.01, await inPage(size)))
    const node: number[] = []
    const chromium: number[] = []
    for (let round = 0; round < rounds; round++) {
      node.push(inNode(size))
      chromium.push(await inPage(size))
    }
    console.log(JSON.stringify({ name, node, chromium, kernels, version: found.browser.version() }))
  }
} finally {
  await found.browser.close()
  await site.close()
}

// Training and saving in tabs that are closed in the middle, two tabs at once, and bad input.
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { launchChromium } from '../support/chromium.ts'
import { bundled, serve, type Site } from '../support/pages.ts'

/** What pages/web-training.ts hands out; each gives a text in place of an error. */
interface WebTraining {
  readonly progress: { readonly steps: number; readonly saves: number }
  train(out: string, options?: object): Promise<TrainedRun | string>
  saveForever(out: string): Promise<void>
  cutSave(out: string): Promise<void>
  readValues(out: string): Promise<number[]>
  dropForeign(): Promise<readonly string[] | string>
  refuse(): Promise<Record<string, unknown>>
}

interface TrainedRun {
  readonly resumedAt: number
  readonly hash: string
  /** Of the adapter in the folder. */
  readonly saved: string
}

let browser: Browser | undefined
let reason = ''
let site: Site
let context: BrowserContext
beforeAll(async () => {
  const found = await launchChromium()
  if ('reason' in found) reason = found.reason
  else browser = found.browser
  if (!browser) return
  const program = await bundled('test/browser/pages/web-training.ts')
  const models = fileURLToPath(new URL('../../src/catalogue/models', import.meta.url))
  site = await serve(new Map([['training', program]]), { folders: { models } })
}, 600_000)
afterAll(async () => {
  await browser?.close()
  await site?.close()
})
beforeEach(async ({ skip }) => {
  if (!browser) return skip(reason)
  context = await browser.newContext()
})
afterEach(async () => {
  await context?.close()
})

async function openTab(): Promise<Page> {
  const tab = await context.newPage()
  tab.setDefaultTimeout(300_000)
  await tab.goto(`${site.origin}/training`)
  await tab.waitForFunction(() => 'training' in globalThis)
  return tab
}

type Method = Exclude<keyof WebTraining, 'progress'>
type Result<Name extends Method> = Awaited<ReturnType<WebTraining[Name]>>

const call = <Name extends Method>(
  tab: Page,
  name: Name,
  ...args: unknown[]
): Promise<Result<Name>> =>
  tab.evaluate(
    ([method, given]) =>
      (
        globalThis as unknown as {
          training: Record<string, (...values: unknown[]) => Promise<never>>
        }
      ).training[method]!(...given),
    [name, args] as [string, unknown[]],
  )

const waitFor = (tab: Page, what: 'steps' | 'saves', least: number): Promise<unknown> =>
  tab.waitForFunction(
    ([name, count]) =>
      (globalThis as unknown as { training: WebTraining }).training.progress[name] >= count,
    [what, least] as const,
  )

describe('training in tabs', () => {
  it(
    'continues after its tab was closed in a step, with the same bits',
    { timeout: 600_000 },
    async () => {
      const first = await openTab()
      const whole = (await call(first, 'train', 'opfs:runs/whole')) as TrainedRun
      expect(whole).toMatchObject({ resumedAt: 0, saved: whole.hash })
      const closed = await openTab()
      const running = call(closed, 'train', 'opfs:runs/broken').catch(() => undefined)
      await waitFor(closed, 'steps', 5)
      await closed.close()
      await running
      const again = (await call(first, 'train', 'opfs:runs/broken', { resume: true })) as TrainedRun
      expect(again.resumedAt).toBeGreaterThanOrEqual(4)
      expect(again).toMatchObject({ hash: whole.hash, saved: whole.hash })
      expect(await call(first, 'train', 'opfs:runs/broken')).toMatch(
        /OptionError: .*an adapter already/,
      )
      expect(await call(first, 'train', 'opfs:runs/none', { resume: true })).toMatch(
        /OptionError: .*there is no earlier run to resume/,
      )
    },
  )
  it('is one tab at a time in a folder', { timeout: 600_000 }, async () => {
    const [one, two] = [await openTab(), await openTab()]
    const running = call(one!, 'train', 'opfs:runs/both', { steps: 60 })
    await waitFor(one!, 'steps', 1)
    expect(await call(two!, 'train', 'opfs:runs/both', { resume: 'auto' })).toMatch(
      /OptionError: .*another tab/,
    )
    expect(((await running) as TrainedRun).hash).toMatch(/^[0-9a-f]{64}$/)
  })
  it('a save that was cut off before its configuration was written leaves the old adapter', async () => {
    await call(await openTab(), 'cutSave', 'opfs:experts/cut')
    expect(await call(await openTab(), 'readValues', 'opfs:experts/cut')).toEqual([1])
  })
  it.each([1, 2, 3])(
    'a save that its tab was closed in leaves one whole adapter (%i)',
    async (more) => {
      const closed = await openTab()
      const saving = call(closed, 'saveForever', 'opfs:experts/saved').catch(() => undefined)
      await waitFor(closed, 'saves', 1 + more)
      await new Promise((resolve) => setTimeout(resolve, 17 * more))
      await closed.close()
      await saving
      const values = await call(await openTab(), 'readValues', 'opfs:experts/saved')
      expect([[1], [2]]).toContainEqual(values)
    },
  )
})

describe('bad input', () => {
  it('an adapter for another base is refused, and the model stays usable', async () => {
    const [problem, text] = (await call(await openTab(), 'dropForeign')) as string[]
    expect(problem).toMatch(/MismatchError: /)
    expect(text).toBe('a time,')
  })
  it('reports what each wrong thing is, and runs nothing of it', { timeout: 120_000 }, async () => {
    const said = await call(await openTab(), 'refuse')
    expect(said).toMatchObject({
      page: expect.stringMatching(/FormatError: x\.gguf/),
      notes: expect.stringMatching(/NotFoundError: .*adapter_config\.json/),
      name: expect.stringMatching(/NotFoundError: .*stories260k/),
      option: expect.stringMatching(/OptionError: .*threads/),
      wrong: expect.stringMatching(
        /UnsupportedError: .*computes wrong numbers.*onnxruntime-web\/wasm/,
      ),
      none: expect.stringMatching(/OptionError: runtime/),
      sink: expect.stringMatching(/OptionError: .*opfs:/),
      outside: expect.stringMatching(/FormatError: .*leads out/),
      wasRun: false,
    })
  })
})

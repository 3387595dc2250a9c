// The pages of examples/web, built by Vite and used as their readers use them.
import { readFile } from 'node:fs/promises'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchChromium } from '../support/chromium.ts'
import { scratchFolder } from '../support/cli.ts'
import type { StaticSite } from '../support/static-site.ts'
import {
  buildExamples,
  findAxeProblem,
  listViolations,
  openContext,
  openExample,
  serveExamples,
  takeScreenshots,
} from '../support/web-examples.ts'

const scratch = scratchFolder()
let browser: Browser | undefined
let reason = ''
let site: StaticSite
beforeAll(async () => {
  const found = await launchChromium()
  if ('reason' in found) {
    reason = found.reason
    return
  }
  browser = found.browser
  await buildExamples(scratch.path)
  site = await serveExamples(scratch.path)
}, 300_000)
afterAll(async () => {
  await browser?.close()
  await site?.close()
  scratch.remove()
})

/** Opens a page, uses it, and holds it to what every page promises. */
function itWorks(
  path: string,
  title: string,
  use: (page: Page, origin: string) => Promise<unknown>,
): void {
  it(`${path} ${title}`, async ({ skip }) => {
    if (!browser) return skip(reason)
    const context = await openContext(browser)
    const { page, problems } = await openExample(context, `${site.origin}/${path}`)
    await use(page, site.origin).catch(async (cause: unknown) => {
      const told = await page.locator('#problem').allTextContents()
      throw new Error(`${String(cause)}\nThe page says: ${told.join('')}\n${problems.join('\n')}`)
    })
    await takeScreenshots(page, path.replaceAll(/\W+/g, '-'))
    const violations = findAxeProblem() ? [] : await listViolations(page)
    await context.close()
    expect(problems).toEqual([])
    expect(violations).toEqual([])
  })
}

const readNumber = async (page: Page, pattern: RegExp): Promise<number> =>
  Number(pattern.exec((await page.locator('#state').textContent()) ?? '')?.[1])

describe('MicroLoRA in a page', () => {
  it('has the rules of accessibility at hand', ({ skip }) => {
    const problem = findAxeProblem()
    if (problem !== undefined) skip(problem)
  })
  itWorks('index.html', 'links to pages that are there', async (page, origin) => {
    const links = await page.locator('a').evaluateAll((all) => all.map((a) => String(a)))
    expect(links.length).toBeGreaterThanOrEqual(4)
    for (const link of links) expect((await fetch(new URL(link, origin))).status).toBe(200)
  })
  itWorks('micro/basic.html', 'gets nearer to the target', async (page) => {
    const before = await readNumber(page, /error ([\d.]+)/)
    await page.click('#many')
    const after = await readNumber(page, /error ([\d.]+)/)
    expect(before).toBeGreaterThan(0.3)
    expect(after).toBeLessThan(0.1 * before)
    expect(await readNumber(page, /after (\d+) steps/)).toBe(100)
    await page.selectOption('#rank', '4')
    expect(await readNumber(page, /; (\d+) numbers/)).toBe(4 * 2 * 768)
  })
  itWorks('micro/online-loop.html', 'predicts better as it goes', async (page) => {
    await page.click('#start')
    await page.getByText(/after 3000:/).waitFor()
    const label = (await page.locator('#curve').getAttribute('aria-label'))!
    const [first, last] = /from ([\d.]+) to ([\d.]+)/.exec(label)!.slice(1).map(Number)
    expect(label).toContain('60 values')
    expect(last!).toBeLessThan(0.7 * first!)
  })
  itWorks('micro/persistence.html', 'remembers, restores and refuses', async (page) => {
    const read = (): Promise<number> => readNumber(page, /(\d+) adaptations/)
    await page.click('#learn')
    await page.click('#keep')
    await page.click('#learn')
    await page.click('#keep')
    await page.getByText('IndexedDB: 1, 2').waitFor()
    await page.reload()
    await page.getByText('40 adaptations').waitFor()
    const damaged = { name: 'a.json', mimeType: 'application/json', buffer: Buffer.from('{"a":1}') }
    await page.setInputFiles('#file', damaged)
    await page.locator('#problem:not(:empty)').waitFor()
    expect(await read()).toBe(40)
    await page.click('#restore')
    await page.getByText('20 adaptations').waitFor()
    await page.click('#forget')
    await page.getByText('versions in IndexedDB: none').waitFor()
    expect(await read()).toBe(0)
  })
  itWorks('micro/many-users.html', 'keeps users apart, and their names as text', async (page) => {
    const name = '<img src=x onerror="document.title=1">'
    for (let i = 0; i < 12; i++) {
      const isGreen = (await page.locator('#shown').textContent()) === 'green'
      await page.click(isGreen ? '#up' : '#down')
      await page.getByText(`${i + 1} thumbs`).waitFor()
    }
    const green = await readNumber(page, /green (\d+) %/)
    expect(green).toBeGreaterThan(40)
    await page.fill('#user', name)
    await page.keyboard.press('Enter')
    await page.getByText('0 thumbs').waitFor()
    expect(await readNumber(page, /green (\d+) %/)).toBe(25)
    await page.click('#up')
    await page.getByText('1 thumbs').waitFor()
    expect(await page.locator('#users li').allTextContents()).toEqual([name, 'ada'])
    expect(await page.locator('#users img').count()).toBe(0)
    await page.reload()
    await page.getByText('12 thumbs').waitFor()
    expect(await readNumber(page, /green (\d+) %/)).toBe(green)
  })
})

describe('the engine in a page', () => {
  itWorks('apps/one-file.html', 'teaches an expert and has it again', async (page) => {
    await page.getByText('No expert yet.').waitFor()
    await page.click('#teach')
    await page.getByText('Taught and kept.').waitFor()
    await page.click('#ask')
    await page.getByText('expert: Tom saw a cat').waitFor()
    const base = await page.locator('#base').textContent()
    expect(base).not.toContain('Tom saw a cat')
    await page.reload()
    await page.getByText('Your expert is here again.').waitFor()
    await page.click('#ask')
    await page.getByText('expert: Tom saw a cat').waitFor()
    expect(await page.locator('#base').textContent()).toBe(base)
  })
  itWorks('apps/ten-experts.html', 'swaps ten over one base', async (page) => {
    await page.getByText('10 experts in memory, 10 of them taught now.').waitFor()
    await page.click('#swap')
    await page.getByText('The base answers as before').waitFor()
    const answers = await page.locator('#swaps td.answer').allTextContents()
    const animals = await page.locator('#swaps td:first-child').allTextContents()
    expect(animals).toHaveLength(10)
    const right = answers.filter((text, i) => text.includes(animals[i]!))
    expect(right.length).toBeGreaterThanOrEqual(8)
    await page.reload()
    await page.getByText('10 experts in memory, 0 of them taught now.').waitFor()
    await page.selectOption('#expert', 'dog')
    await page.click('#send')
    await page.locator('#answer', { hasText: 'dog' }).waitFor()
  })
  itWorks('micro/base-model.html', 'turns changed states into tokens', async (page) => {
    await page.locator('#learn:enabled').waitFor()
    await page.click('#write')
    await page.locator('#answer:not(:empty)').waitFor()
    expect(await page.locator('#answer').textContent()).not.toMatch(/^ ?Rex/)
    await page.click('#learn')
    await page.getByText('after 30 rounds').waitFor()
    expect(await page.locator('#answer').textContent()).toMatch(/^ ?Rex/)
    expect(await readNumber(page, /before, ([\d.]+) after/)).toBeLessThan(0.5)
  })
  itWorks('offline/index.html', 'chats and learns without a network', async (page) => {
    await page.getByText('ready without a network; learned from 0 turns').waitFor()
    const ask = async (): Promise<string> => {
      const before = await page.locator('#turns .answer').count()
      await page.fill('#prompt', 'The dog is called')
      await page.click('#send')
      await page.locator('#correct').waitFor()
      return (await page.locator('#turns .answer').nth(before).textContent())!
    }
    const untaught = await ask()
    await page.context().setOffline(true)
    await page.reload()
    await page.getByText(/learned from 0 turns/).waitFor()
    for (let i = 1; i <= 4; i++) {
      await ask()
      await page.fill('#right', 'Bartholomew the Great.')
      await page.click('#teach')
      await page.getByText(`learned from ${i} turns`).waitFor()
    }
    await page.reload()
    await page.getByText('learned from 4 turns').waitFor()
    const taught = await ask()
    expect(taught).toContain('Bartholomew')
    expect(untaught).not.toContain('Bartholomew')
    await page.context().setOffline(false)
  })
})

/** The files of an archive without compression, by name. */
function readZip(bytes: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>()
  for (let at = 0; bytes.readUInt32LE(at) === 0x04034b50;) {
    const size = bytes.readUInt32LE(at + 22)
    const nameLength = bytes.readUInt16LE(at + 26)
    const start = at + 30 + nameLength
    files.set(bytes.toString('utf8', at + 30, start), bytes.subarray(start, start + size))
    at = start + size
  }
  return files
}

const hostile = '<img src=x onerror="document.title=1">'
const drop = (page: Page, name: string, text: string | Buffer): Promise<void> =>
  page.setInputFiles('#file', { name, mimeType: 'text/plain', buffer: Buffer.from(text) })

describe('Studio', () => {
  itWorks('studio/index.html', 'teaches, compares, corrects and exports', async (page) => {
    await page.getByText('stories260k · 1 thread').waitFor()
    await page.click('#example')
    await page.getByText('8 rows, 8 learned').waitFor()
    expect(await page.locator('.sample mark').first().textContent()).toContain('Lily saw a cat')
    expect(await page.inputValue('#name')).toBe('cat-stories')
    await page.fill('#steps', '40')
    await page.getByText('More settings').click()
    await page.fill('#rate', '0.01')
    await page.click('#train')
    await page.getByText('Step 40 of 40').waitFor()
    await page.getByText('cat-stories is taught and kept').waitFor()

    await page.fill('#prompt', 'Tom:')
    await page.keyboard.press('Enter')
    await page.locator('.judge').waitFor()
    const [base, expert] = await page.locator('.turn .answer').allTextContents()
    expect(expert).toContain('Tom saw a cat')
    expect(base).not.toContain('Tom saw a cat')
    await page.getByRole('button', { name: 'Good' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Good', pressed: true }).waitFor()
    await page.getByText('Learned from your thumb.').waitFor()

    await page.fill('#prompt', hostile)
    await page.keyboard.press('Enter')
    await page.locator('.judge').nth(1).waitFor()
    await page.getByRole('button', { name: 'Correct', exact: true }).nth(1).click()
    await page.getByLabel('What it should have said').fill(' Tom saw a dog. Bye.')
    await takeScreenshots(page, 'studio-correcting')
    await page.getByRole('button', { name: 'Teach this' }).click()
    await page.getByText('Learned your correction.').waitFor()
    expect(await page.locator('.turn > .prompt').nth(1).textContent()).toBe(hostile)

    const downloading = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Export cat-stories as PEFT' }).click()
    const files = readZip(await readFile(await (await downloading).path()))
    expect([...files.keys()].sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors'])
    const config = JSON.parse(String(files.get('adapter_config.json'))) as object
    expect(config).toMatchObject({ peft_type: 'LORA', r: 8, lora_alpha: 16 })
    await page.reload()
    await page.getByRole('radio', { name: 'cat-stories' }).waitFor()
  })
  itWorks('studio/index.html', 'takes files of strangers as data', async (page) => {
    await page.getByText('stories260k · 1 thread').waitFor()
    await drop(page, `${hostile}.jsonl`, `{"text": ${JSON.stringify(hostile)}}\n{"txt": 1}\n`)
    await page.getByText('Nothing is taught before these rows are right.').waitFor()
    expect(await page.locator('#train').isDisabled()).toBe(true)
    expect(await page.locator('.sample mark').textContent()).toContain(hostile)
    await drop(page, 'page.jsonl', '<!doctype html><p>404</p>')
    await page.locator('#problem:not(:empty)').waitFor()
    await drop(page, 'rows.csv', 'prompt,completion\nLily:, Lily saw a cat.\n')
    await page.getByText('1 row, 1 learned').waitFor()
    const config = {
      peft_type: 'LORA',
      r: 1,
      lora_alpha: 1,
      target_modules: ['no_such_layer'],
      base_model_name_or_path: 'other',
    }
    await page.setInputFiles('#file', [
      { name: 'adapter_config.json', mimeType: '', buffer: Buffer.from(JSON.stringify(config)) },
      { name: 'adapter_model.safetensors', mimeType: '', buffer: Buffer.from('{}') },
    ])
    await page.locator('#problem:not(:empty)').waitFor()
    await page.fill('#prompt', 'Once upon a time')
    await page.keyboard.press('Enter')
    await page.locator('.judge').waitFor() // the running model is unharmed
    expect(await page.locator('main img').count()).toBe(0)
  })
  it('uses threads where its server sends the two headers', async ({ skip }) => {
    if (!browser) return skip(reason)
    const isolated = await serveExamples(scratch.path, true)
    const context = await openContext(browser)
    const { page } = await openExample(context, `${isolated.origin}/studio/index.html`)
    await page.getByText(/stories260k · \d+ threads/).waitFor()
    await context.close()
    await isolated.close()
  })
})

describe('React', () => {
  itWorks('react/index.html', 'shows a model by useGraft()', async (page) => {
    await page.getByRole('button', { name: 'Teach it about cats' }).click()
    await page.getByText('step 40 of 40').waitFor()
    await page.locator('#expert option', { hasText: 'cats' }).waitFor({ state: 'attached' })
    await page.getByRole('button', { name: 'Ask' }).click()
    await page.getByRole('button', { name: 'Good' }).click()
    await page.getByRole('button', { name: 'Thanks' }).waitFor()
    expect(await page.locator('li.answer').textContent()).toContain('Tom saw a cat')
  })
})

// The packed package in projects of its users: bundled by Vite and by webpack, as files for a plain
// <script type=module>, and in Next.js. Each runs the same program in Chromium.
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Browser } from 'playwright-core'
import { build } from 'vite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchChromium } from '../support/chromium.ts'
import { type PackedProject, packAndInstall } from '../support/packed.ts'
import { root } from '../support/sources.ts'
import { serveFolders } from '../support/static-site.ts'

const example = join(root, 'examples', 'web', 'bundled')
const models = join(root, 'src', 'catalogue', 'models')
const tools = join(root, 'test', 'bundlers', 'node_modules')

let browser: Browser | undefined
let reason = ''
let project: PackedProject
beforeAll(async () => {
  const found = await launchChromium()
  if ('reason' in found) reason = found.reason
  else browser = found.browser
  project = packAndInstall()
  for (const file of readdirSync(example)) cpSync(join(example, file), join(project.folder, file))
}, 600_000)
afterAll(async () => {
  await browser?.close()
  project?.remove()
})

/** What the program writes into its page. */
async function runPage(url: string): Promise<Record<'page' | 'worker' | 'problem', string>> {
  const page = await browser!.newPage()
  page.setDefaultTimeout(240_000)
  const problems: string[] = []
  page.on('pageerror', (error) => void problems.push(String(error)))
  await page.goto(url)
  await page
    .waitForFunction('document.title === "done" || document.title === "failed"')
    .catch((cause: unknown) => {
      throw new Error(`${String(cause)}\n${problems.join('\n')}`)
    })
  const read = async (id: string): Promise<string> =>
    (await page.locator(`#${id}`).textContent()) ?? ''
  const texts = { page: await read('page'), worker: await read('worker') }
  const problem = [await read('problem'), ...problems].join('')
  await page.close()
  return Object.assign(texts, { problem })
}

const right = { page: ' Tom saw a cat', problem: '' }

async function expectRight(url: string): Promise<void> {
  const told = await runPage(url)
  expect(told).toMatchObject({ problem: right.problem })
  expect(told.page).toContain('Tom saw a cat')
  expect(told.worker.length).toBeGreaterThan(10)
}

async function expectSite(folder: string): Promise<void> {
  const site = await serveFolders({
    folders: { '/': folder, '/models/': models },
    isolated: false,
  })
  try {
    await expectRight(`${site.origin}/index.html`)
  } finally {
    await site.close()
  }
}

const measureFolder = (folder: string): number =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((item) => item.isFile() && item.name.endsWith('.js'))
    .reduce((sum, item) => sum + statSync(join(item.parentPath, item.name)).size, 0)

describe('the package in a browser', () => {
  it('bundled by Vite', async ({ skip }) => {
    if (!browser) return skip(reason)
    const outDir = join(project.folder, 'out-vite')
    await build({
      root: project.folder,
      configFile: false,
      logLevel: 'error',
      base: './',
      worker: { format: 'es' },
      build: { outDir, target: 'es2022' },
    })
    console.log(`Vite: ${(measureFolder(outDir) / 1e6).toFixed(2)} MB of programs`)
    await expectSite(outDir)
  }, 600_000)
  it('bundled by webpack', async ({ skip }) => {
    if (!browser) return skip(reason)
    if (!existsSync(join(tools, 'webpack')))
      return skip('webpack is not installed: npm ci in test/bundlers')
    const { default: webpack } = (await import(
      pathToFileURL(join(tools, 'webpack', 'lib', 'index.js')).href
    )) as { default: Webpack }
    const { default: config } = (await import(
      pathToFileURL(join(project.folder, 'webpack.config.mjs')).href
    )) as { default: { output: object } }
    const path = join(project.folder, 'out-webpack')
    const output = Object.assign({}, config.output, { path })
    const text = await new Promise<string>((resolve, reject) => {
      webpack(Object.assign({}, config, { context: project.folder, output }), (error, stats) => {
        if (error) reject(error)
        else resolve(stats!.hasErrors() ? stats!.toString() : '')
      })
    })
    expect(text).toBe('')
    cpSync(join(example, 'index.html'), join(path, 'index.html'))
    console.log(`webpack: ${(measureFolder(path) / 1e6).toFixed(2)} MB of programs`)
    await expectSite(path)
  }, 600_000)
  it('as plain files for <script type=module>', async ({ skip }) => {
    if (!browser) return skip(reason)
    const out = join(project.folder, 'out-plain')
    const library = join(out, 'graftlm')
    mkdirSync(library, { recursive: true })
    const modules = join(project.folder, 'node_modules')
    const entries = ['index.js', 'worker/worker-main.js'].map((file) =>
      join(modules, 'graftlm', 'dist', 'web', file),
    )
    const rolldown = join(root, 'node_modules', 'rolldown', 'bin', 'cli.mjs')
    const args = [rolldown, ...entries, '-d', library, '--format', 'esm', '--platform', 'browser']
    const { status, stderr } = spawnSync(process.execPath, [...args, '--minify'], {
      cwd: project.folder,
      encoding: 'utf8',
    })
    expect([status, stderr]).toEqual([0, expect.any(String)])
    const wasm = 'ort-wasm-simd-threaded.wasm'
    cpSync(join(modules, 'onnxruntime-web', 'dist', wasm), join(library, wasm))
    cpSync(join(root, 'examples', 'web', 'plain', 'index.html'), join(out, 'index.html'))
    cpSync(join(example, 'main.js'), join(out, 'main.js'))
    await expectSite(out)
  }, 600_000)
  it('in Next.js', async ({ skip }) => {
    if (!browser) return skip(reason)
    const next = join(tools, 'next', 'dist', 'bin', 'next')
    if (!existsSync(next)) return skip('Next.js is not installed: npm ci in test/bundlers')
    // Below this folder, where Next.js and what the package depends on are found.
    const folder = mkdtempSync(join(root, 'test', 'bundlers', 'scratch-'))
    try {
      cpSync(join(root, 'examples', 'web', 'next'), folder, { recursive: true })
      const copies = { 'public/models/stories260k': join(models, 'stories260k') }
      const packed = { 'node_modules/graftlm': join(project.folder, 'node_modules', 'graftlm') }
      for (const [place, from] of Object.entries(Object.assign(copies, packed)))
        cpSync(from, join(folder, place), { recursive: true })
      await expectNextPage(folder, next)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }, 900_000)
})

async function expectNextPage(folder: string, next: string): Promise<void> {
  const settings = {
    cwd: folder,
    env: Object.assign({ NEXT_TELEMETRY_DISABLED: '1' }, process.env),
  }
  const built = spawnSync(
    process.execPath,
    [next, 'build'],
    Object.assign({ encoding: 'utf8' as const }, settings),
  )
  expect([built.status, built.status === 0 ? '' : built.stdout + built.stderr]).toEqual([0, ''])
  const server = spawn(process.execPath, [next, 'start', '-p', '0'], settings)
  try {
    const origin = await new Promise<string>((resolve, reject) => {
      server.stdout.on('data', (data) => {
        const found = /http:\/\/localhost:\d+/.exec(String(data))
        if (found) resolve(found[0])
      })
      server.on('exit', () => reject(new Error('Next.js ended')))
    })
    const { headers } = await fetch(origin)
    expect(headers.get('cross-origin-embedder-policy')).toBe('require-corp')
    await expectRight(origin)
  } finally {
    server.kill()
  }
}

type Webpack = (
  config: object,
  done: (error: Error | null, stats?: { hasErrors(): boolean; toString(): string }) => void,
) => void

// Lines of JSON about the engine in one Chromium, SmolLM2-135M, and about wllama in the same one
// where GRAFT_BENCH_WLLAMA names a folder with it: alternating rounds, processor time of the page's
// process.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import type { Browser, CDPSession, Page } from 'playwright-core'
import { toFloat32 } from '../../src/formats/convert.ts'
import { openGguf } from '../../src/formats/gguf/reader.ts'
import { encodeGguf, type GgufContent } from '../../src/formats/gguf/writer.ts'
import { quantizeWeight } from '../../src/compute/pack.ts'
import { f32 } from '../../src/base/tensor.ts'
import { loadModel, train } from '../../src/node/index.ts'
import { openFileSource } from '../../src/node/files/file-source.ts'
import { measureBrowserNeeds } from '../../scripts/browser-versions.mjs'
import { launchChromium } from '../../test/support/chromium.ts'
import { bundled, serve } from '../../test/support/pages.ts'
import { keepPriority, readMemoryMb, readProcessorMs } from './browser-processes.ts'

const rounds = Number(process.env['GRAFT_BENCH_ROUNDS'] ?? 3)
const tokens = 24
const experts = 10
const catalogueName = 'smollm2-135m-instruct:q4_1'
const trainRows = [
  'The river runs past the old mill and into the sea, where the ships wait for the wind.',
  'Every morning the baker opens her shop and sells the first loaves to the children.',
].map((text) => ({ text: text.repeat(4) }))

const report = (name: string, value: number): void =>
  console.log(JSON.stringify({ name, value: Math.round(value * 100) / 100 }))

/** The weights of a GGUF file in Q8_0, as llama.cpp quantises them. */
async function writeQ8(from: string, to: string): Promise<void> {
  const file = await openGguf(await openFileSource(from))
  const tensors: GgufContent['tensors'] extends ReadonlyMap<string, infer Of>
    ? Map<string, Of>
    : never = new Map()
  for (const [name, { shape }] of file.tensors) {
    const tensor = await file.read(name)
    const plain = f32(shape, toFloat32(tensor))
    tensors.set(name, (shape.length === 2 && quantizeWeight(plain, 'q8')) || plain)
  }
  const metadata = new Map(
    [...file.metadata].map(([key, value]) => [key, { type: file.metadataTypes.get(key)!, value }]),
  ) as unknown as GgufContent['metadata']
  const chunks = [...encodeGguf({ metadata, tensors })]
  writeFileSync(to, Buffer.concat(chunks))
  await file.close()
}

interface Side {
  readonly name: string
  readonly page: Page
  readonly pid: number
  write(prompt: string, count: number): Promise<unknown>
}

/** The process of the page that has just loaded a model: the largest that is not another page's. */
async function findRenderer(browser: Browser, seen: Set<number>): Promise<number> {
  const session: CDPSession = await browser.newBrowserCDPSession()
  const { processInfo } = await session.send('SystemInfo.getProcessInfo')
  await session.detach()
  const renderers = processInfo
    .filter(({ type, id }) => type === 'renderer' && !seen.has(id))
    .map(({ id }) => ({ id, sizeMb: readMemoryMb(id, 'VmRSS') }))
    .sort((a, b) => b.sizeMb - a.sizeMb)
  const { id } = renderers[0]!
  seen.add(id)
  return id
}

type Bench = Record<string, (...args: unknown[]) => Promise<unknown>>
const call = (page: Page, name: string, ...args: unknown[]): Promise<unknown> =>
  page.evaluate(
    ([method, given]) => (globalThis as unknown as { bench: Bench }).bench[method]!(...given),
    [name, args] as [string, unknown[]],
  )

async function openGraft(browser: Browser, url: string, seen: Set<number>): Promise<Side> {
  const page = await openPage(browser, `${new URL(url).origin}/graft`)
  await page.waitForFunction(() => 'bench' in globalThis)
  await call(page, 'open', url)
  await call(page, 'write', prompt, 1)
  const pid = await findRenderer(browser, seen)
  return { name: 'graft', page, pid, write: (prompt, count) => call(page, 'write', prompt, count) }
}

async function openWllama(
  browser: Browser,
  url: string,
  name: string,
  seen: Set<number>,
): Promise<Side> {
  const { origin } = new URL(url)
  const page = await openPage(browser, `${origin}/empty`)
  await page.evaluate(
    async ([base, file]) => {
      const { Wllama } = (await import(`${base}/wllama/index.js`)) as {
        Wllama: new (...args: unknown[]) => {
          loadModel(blobs: unknown[], options: object): Promise<void>
          createCompletion(options: object): Promise<unknown>
        }
      }
      const quiet = { debug() {}, log() {}, warn() {}, error: console.error }
      const engine = new Wllama({ default: `${base}/wllama/wasm/wllama.wasm` }, { logger: quiet })
      const blob = await (await fetch(file!)).blob()
      await engine.loadModel([blob], { n_threads: 1, n_ctx: 512, n_gpu_layers: 0 })
      const write = (prompt: string, count: number) =>
        engine.createCompletion({
          prompt,
          max_tokens: count,
          temperature: 0,
          ignore_eos: true,
          cache_prompt: false,
        })
      Object.assign(globalThis, { bench: { write } })
    },
    [origin, url],
  )
  const pid = await findRenderer(browser, seen)
  const write = async (prompt: string, count: number) =>
    void (await page.evaluate(
      async ([text, most]) => {
        const { bench } = globalThis as unknown as { bench: Bench }
        await bench['write']!(text, most)
      },
      [prompt, count] as const,
    ))
  return { name, page, pid, write }
}

async function openPage(browser: Browser, url: string): Promise<Page> {
  const page = await (await browser.newContext()).newPage()
  page.setDefaultTimeout(900_000)
  await page.goto(url)
  return page
}

async function measureCpu(pid: number, work: () => Promise<unknown>): Promise<number> {
  const before = readProcessorMs(pid)
  await work()
  return readProcessorMs(pid) - before
}

const prompt = 'The history of the city of Paris begins with'
/** About 240 tokens; the beginning differs, so that nothing read before is of use. */
const makeLong = (n: number): string =>
  `${n} ` + 'The quick brown fox jumps over the lazy dog near the old river bank. '.repeat(15)

async function measureSpeeds(side: Side, round: number): Promise<void> {
  const short = await measureCpu(side.pid, () => side.write(prompt, 2))
  const many = await measureCpu(side.pid, () => side.write(prompt, 2 + tokens))
  const read = await measureCpu(side.pid, () => side.write(makeLong(100 + round), 1))
  if (round === 0) return
  report(`${side.name} token`, (many - short) / tokens)
  report(`${side.name} read`, read)
}

/** Adapters, swaps, training and memory of our side. */
async function measureEngine({ page, pid }: Side, offline: () => Promise<void>): Promise<void> {
  report('graft peak of the base', readMemoryMb(pid, 'VmHWM'))
  const write = (count: number, expert: number) => () => call(page, 'write', prompt, count, expert)
  await call(page, 'makeExperts', experts)
  for (let expert = 0; expert < experts; expert++) await write(2, expert)()
  for (let round = 0; round < rounds; round++) {
    const short = await measureCpu(pid, write(2, 0))
    const many = await measureCpu(pid, write(2 + tokens, 0))
    report('graft adapter token', (many - short) / tokens)
    const same = await measureCpu(pid, async () => {
      for (let i = 0; i < experts; i++) await write(1, 0)()
    })
    const other = await measureCpu(pid, async () => {
      for (let i = 0; i < experts; i++) await write(1, i)()
    })
    report('graft swap', Math.max(0, (other - same) / experts))
  }
  report('graft peak', readMemoryMb(pid, 'VmHWM'))
  await call(page, 'readInt8', makeLong(200))
  for (let round = 1; round <= rounds; round++) {
    const read = () => call(page, 'readInt8', makeLong(200 + round))
    report('graft int8 read', await measureCpu(pid, read))
  }
  await offline()
  const started = performance.now()
  await page.reload()
  await page.waitForFunction(() => 'bench' in globalThis)
  await call(page, 'open', modelUrl)
  await call(page, 'write', prompt, 1)
  report('graft second visit', performance.now() - started)
}

/** What serving takes where the page keeps its experts in 16 bits: in a process of its own. */
async function measurePacked(browser: Browser, url: string, seen: Set<number>): Promise<void> {
  const { page, pid } = await openGraft(browser, url, seen)
  await call(page, 'makeExperts', experts, 16)
  for (let expert = 0; expert < experts; expert++) await call(page, 'write', prompt, 2, expert)
  report('graft peak in 16 bits', readMemoryMb(pid, 'VmHWM'))
  await page.context().close()
}

async function measureSteps({ page }: Side, pid: number): Promise<void> {
  const run = (steps: number) => measureCpu(pid, () => call(page, 'trainSteps', trainRows, steps))
  const few = await run(1)
  const more = await run(3)
  report('graft step', (more - few) / 2)
  const model = await loadModel(catalogueName, { threads: 1 })
  const times: number[] = []
  const settings = {
    data: trainRows,
    adapter: { kind: 'lora', config: { targets: 'all-linear', rank: 8 } },
    steps: 3,
    batch: { rows: 2, tokens: 64 },
    maxTokens: 64,
    seed: 1,
  }
  for await (const event of train({ ...settings, model })) {
    const { user, system } = process.cpuUsage()
    if (event.type === 'step-end') times.push((user + system) / 1000)
  }
  report('node step', (times.at(-1)! - times[0]!) / (times.length - 1))
  await model.dispose()
}

/** The model's path on this machine: loaded once, so that it exists. */
async function findModelFile(): Promise<string> {
  const model = await loadModel(catalogueName)
  const { name } = model.base.weights
  await model.dispose()
  return name
}

const modelFile = await findModelFile()
const wllama = process.env['GRAFT_BENCH_WLLAMA']
const temporary = mkdtempSync(join(tmpdir(), 'graft-bench-web-'))
let modelUrl = ''
try {
  const program = await bundled('test/browser/pages/web-bench.ts', true)
  report('graft size', (await measureBrowserNeeds()).bytes.page / 1000)
  const q8 = join(temporary, 'q8_0.gguf')
  if (wllama) await writeQ8(modelFile, q8)
  const site = await serve(
    new Map([
      ['graft', program],
      ['empty', ''],
    ]),
    {
      folders: {
        models: dirname(modelFile),
        q8: temporary,
        ...(wllama && { wllama: join(wllama, 'node_modules/@wllama/wllama/esm') }),
      },
    },
  )
  modelUrl = `${site.origin}/models/${basename(modelFile)}`
  const found = await launchChromium()
  if ('reason' in found) throw new Error(found.reason)
  const { browser } = found
  const endPriority = await keepPriority(browser)
  const seen = new Set<number>()
  const sides = [await openGraft(browser, modelUrl, seen)]
  if (wllama) {
    sides.push(await openWllama(browser, modelUrl, 'wllama q4_1', seen))
    sides.push(await openWllama(browser, `${site.origin}/q8/q8_0.gguf`, 'wllama q8_0', seen))
  }
  for (let round = 0; round <= rounds; round++)
    for (const side of sides) await measureSpeeds(side, round)
  const [graft] = sides as [Side]
  await measureEngine(graft, () =>
    graft.page
      .context()
      .route(/\/models\//, (route) => route.abort())
      .then(() => undefined),
  )
  await measurePacked(browser, modelUrl, seen)
  seen.delete(graft.pid)
  await measureSteps(graft, await findRenderer(browser, seen))
  endPriority()
  await browser.close()
  await site.close()
} finally {
  rmSync(temporary, { recursive: true, force: true })
}

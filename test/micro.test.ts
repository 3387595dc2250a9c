// graftlm/micro as it is shipped: the compiled kernels are those of their sources, the bundle is
// small and knows no platform, the main entry does not carry it, the page's table is true, and the
// examples run.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'rolldown'
import { describe, expect, it } from 'vitest'
import { compiledKernels, kernelSources } from '../scripts/kernels.mjs'
import { MicroLora } from '../src/micro/index.ts'
import { readSources, resolveImport, root } from './support/sources.ts'

const textOf = (path: string): string => readFileSync(join(root, path), 'utf8')

describe('the kernels', () => {
  it.each(Object.entries(kernelSources))('%s are what the sources carry', async (source, path) => {
    const { text } = await compiledKernels(root, source)
    expect(textOf(path), 'run: npm run build -- --kernels').toBe(text)
  })
})

describe('the bundle', () => {
  it('takes less than 30 KB gzipped with its kernels, and no module of Node', async () => {
    const { output } = await build({
      input: join(root, 'src/micro/index.ts'),
      platform: 'browser',
      output: { minify: true },
      write: false,
    })
    expect(output).toHaveLength(1)
    const { code, imports } = output[0]
    expect(imports).toEqual([])
    const sizeBytes = gzipSync(code).length
    console.log(
      `graftlm/micro: ${(sizeBytes / 1024).toFixed(1)} KB gzipped, ${(code.length / 1024).toFixed(1)} KB minified`,
    )
    expect(code).toContain('AGFzbQ') // the first bytes of a WebAssembly module in base64
    expect(sizeBytes).toBeLessThan(30 * 1024)
    for (const page of ['README.md', 'docs/micro.md']) {
      const [, said] = /(\d+) KB gzipped/.exec(textOf(page)) ?? []
      expect(Math.abs(Number(said) - sizeBytes / 1024), page).toBeLessThan(1)
    }
  })
  it('is not part of the main entry', () => {
    const sources = new Map(readSources('src/**/*.ts').map((file) => [file.path, file]))
    const reached = new Set<string>()
    const follow = (path: string): void => {
      const file = sources.get(path)
      if (!file || reached.has(path)) return
      reached.add(path)
      for (const item of file.imports) follow(resolveImport(file, item) ?? '')
    }
    follow('src/index.ts')
    expect(reached.size).toBeGreaterThan(20)
    expect([...reached].filter((path) => path.startsWith('src/micro/'))).toEqual([])
  })
})

describe('docs/micro.md', () => {
  it('has the memory that adapters really take', () => {
    const rows = [...textOf('docs/micro.md').matchAll(/^\| +(\d+) \|((?: +[\d,]+ \|){6})$/gm)]
    const numbers = rows.map(([, rank, cells]) =>
      [rank!, ...cells!.split('|').slice(0, 6)].map((cell) => Number(cell.replaceAll(',', ''))),
    )
    expect(numbers.map(([rank]) => rank)).toEqual([1, 2, 4, 8, 16])
    for (const [rank, parameters, weights, plain, momentum, adam, ewc] of numbers) {
      const total = (options: object): number =>
        new MicroLora({ rank: rank!, ...options }).memory().total
      expect([parameters, weights]).toEqual([
        new MicroLora({ rank: rank! }).statistics().parameters,
        4 * parameters!,
      ])
      expect([plain, momentum, adam, ewc]).toEqual([
        total({}),
        total({ momentum: 0.9 }),
        total({ optimizer: 'adam' }),
        total({ momentum: 0.9, ewc: true }),
      ])
    }
  })
})

describe('the examples', () => {
  const run = (name: string): string => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(root, 'examples/micro', name)],
      { encoding: 'utf8' },
    )
    expect([status, stderr]).toEqual([0, ''])
    return stdout
  }
  it('basic use: the output comes to the target', () => {
    const [before, after] = [...run('basic.ts').matchAll(/error ([\d.]+)/g)].map(([, value]) =>
      Number(value),
    ) as [number, number]
    expect(after).toBeLessThan(0.01 * before)
  })
  it('online loop: predictions get better while they are made, and nothing is warned of', () => {
    const output = run('online-loop.ts')
    const errors = [...output.matchAll(/mean error ([\d.]+)/g)].map(([, value]) => Number(value))
    expect(errors.length).toBeGreaterThan(3)
    expect(errors.at(-1)).toBeLessThan(0.2 * errors[0]!)
    expect(output).toContain('warnings: none')
  })
  it('saving and restoring: the same outputs, and a damaged file is refused', () => {
    const output = run('save-and-restore.ts')
    expect(output).toContain('the same output: true')
    expect(output).toContain('refused: JSON: the checksum is wrong')
  })
})

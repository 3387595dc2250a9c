// The documentation is true: every example marked `run` runs, every command has a page that names
// its options, every link leads somewhere.
import { execFile } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { commands } from '../src/cli/command-table.ts'
import { loadOptions } from '../src/cli/command.ts'
import { jsonl, scratchFolder, storyRows } from './support/cli.ts'
import { root } from './support/sources.ts'

const pages = [
  'README.md',
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  ...globSync('docs/**/*.md', { cwd: root }).sort(),
]
const textOf = (page: string): string => readFileSync(join(root, page), 'utf8')

const examples = pages.flatMap((page) =>
  [...textOf(page).matchAll(/^```(js|sh) run\n([^]*?)^```/gm)].map(([, language, code], i) => ({
    page,
    number: i + 1,
    language: language!,
    code: code!,
  })),
)

const scratch = scratchFolder()
const bin = join(scratch.path, 'bin')

/** A command `graft`, a package `graftlm` that is this checkout, and rows to train on. */
beforeAll(() => {
  mkdirSync(bin)
  writeFileSync(
    join(bin, 'graft'),
    `#!/bin/sh\nexec ${JSON.stringify(process.execPath)} ${JSON.stringify(join(root, 'src/cli/main.ts'))} "$@"\n`,
  )
  chmodSync(join(bin, 'graft'), 0o755)
  const folder = join(scratch.path, 'node_modules', 'graftlm')
  mkdirSync(folder, { recursive: true })
  const entry = (path: string): string =>
    `export * from ${JSON.stringify(pathToFileURL(join(root, path)).href)}\n`
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({
      name: 'graftlm',
      type: 'module',
      exports: { '.': './index.js', './*': './*.js' },
    }),
  )
  writeFileSync(join(folder, 'index.js'), entry('src/index.ts'))
  for (const part of [
    'adapters',
    'agents',
    'eval',
    'learn',
    'micro',
    'node',
    'runtime',
    'server',
    'train',
  ])
    writeFileSync(join(folder, `${part}.js`), entry(`src/${part}/index.ts`))
  writeFileSync(join(scratch.path, 'rows.jsonl'), jsonl(storyRows))
})
afterAll(() => scratch.remove())

interface Ended {
  readonly failed: boolean
  readonly output: string
}

function execute(command: string, args: readonly string[], cwd: string): Promise<Ended> {
  const env = {
    ...process.env,
    PATH: `${bin}:${process.env['PATH']}`,
    EXAMPLES: scratch.path,
    NO_COLOR: '1',
    GRAFT_OFFLINE: '1',
  }
  return new Promise((resolve) => {
    execFile(command, args, { cwd, env }, (error, stdout, stderr) =>
      resolve({ failed: error !== null, output: `${stdout}\n${stderr}` }),
    )
  })
}

function runExample(language: string, code: string): Promise<Ended> {
  const folder = mkdtempSync(join(scratch.path, 'example-'))
  if (language === 'sh') return execute('sh', ['-e', '-c', code], folder)
  writeFileSync(join(folder, 'example.mjs'), `${code}\nprocess.exit(0)\n`)
  return execute(process.execPath, ['example.mjs'], folder)
}

describe('examples', () => {
  it.each(examples)('$page, example $number runs', async ({ language, code }) => {
    const { failed, output } = await runExample(language, code)
    expect([failed, failed ? output : '']).toEqual([false, ''])
  })
  it('would not pass if they failed', async () => {
    expect((await runExample('sh', 'graft run\n')).output).toContain('an argument is missing')
    expect((await runExample('js', "import { nothing } from 'graftlm'")).failed).toBe(true)
  })
  it('the program of the README has at most eight lines and shows what it says', async () => {
    const { code } = examples.find(
      ({ page, language }) => page === 'README.md' && language === 'js',
    )!
    expect(code.trim().split('\n').length).toBeLessThanOrEqual(8)
    const { output } = await runExample('js', code)
    const answers = output.split('\n').filter((line) => /^(expert|base): /.test(line))
    expect(answers).toHaveLength(3)
    expect(answers[0]).toContain('Lily saw a cat.')
    expect(answers[1]).not.toContain('Lily saw a cat.')
    expect(answers[2]).toBe(answers[0])
  })
})

/** Commands of two words share a page: those below `graft serve` the one about running a server. */
const getPageName = (command: string): string => {
  if (command === 'learn export') return 'improve'
  if (command === 'batch') return 'batches'
  return command.startsWith('serve ') ? 'serve-operations' : command.split(' ')[0]!
}

describe('pages', () => {
  it.each([...commands.values()])(
    'graft $name has a page with an example that runs and with every option',
    async (command) => {
      const { name } = command
      const options = await loadOptions(command)
      const page = `docs/${getPageName(name)}.md`
      expect(existsSync(join(root, page))).toBe(true)
      expect(examples.some((example) => example.page === page)).toBe(true)
      expect(
        Object.keys(options).filter(
          (option) =>
            !textOf(page).includes(`--${option}\``) && !textOf(page).includes(`--${option} `),
        ),
      ).toEqual([])
    },
  )
  it('name no command that does not exist', () => {
    const named = pages.flatMap((page) =>
      [...textOf(page).matchAll(/`graft ([a-z]+)/g)].map(([, name]) => `${page}: ${name}`),
    )
    expect(named.length).toBeGreaterThan(5)
    const words = new Set([...commands.keys()].map((name) => name.split(' ')[0]))
    expect(named.filter((entry) => !words.has(entry.split(': ')[1]!))).toEqual([])
  })
  it('link only to what is there', () => {
    const links = pages.flatMap((page) =>
      [...textOf(page).matchAll(/\]\(([^)#:]+)\)/g)].map(([, target]) =>
        join(dirname(page), target!),
      ),
    )
    expect(links.length).toBeGreaterThan(10)
    expect(links.filter((target) => !existsSync(join(root, target)))).toEqual([])
  })
  it('of the architecture name only files and folders that are there', () => {
    const named = [
      ...textOf('ARCHITECTURE.md').matchAll(/`((?:src|test|docs|scripts|bench)\/[\w./-]+)`/g),
    ].map(([, path]) => path!)
    expect(named.length).toBeGreaterThan(20)
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([])
  })
})

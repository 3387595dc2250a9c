// Pages in Markdown and commits: widths and lengths, one floor plan, paths that exist, subjects.
import { spawnSync } from 'node:child_process'
import { existsSync, globSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findBrokenCode, listCodeBlocks } from './support/code-blocks.ts'
import { compareWithExceptions } from './support/exceptions.ts'
import { entryFloor, floors, rooms } from './support/floors.ts'
import * as markdown from './support/markdown.ts'
import { readTexts, root } from './support/sources.ts'

const all = readTexts('*.md', 'docs/**/*.md')
const readPage = (name: string): string => all.find(({ path }) => path === name)!.text

/** The commit before the first whose subject is held to the rule. */
const firstCommit = '16ef462'

describe('pages', () => {
  it('are found', () => {
    expect(all.length).toBeGreaterThan(20)
  })
  it('have lines of at most 120 columns outside of tables and code', () => {
    expect(compareWithExceptions('markdown width', markdown.findWideProse(all))).toEqual([])
  })
  it('have code blocks that parse, in JavaScript, TypeScript, JSON and shell', () => {
    const languages = all.flatMap(({ text }) => listCodeBlocks(text).map((block) => block.language))
    expect(languages.filter((language) => ['js', 'sh'].includes(language)).length).toBeGreaterThan(
      100,
    )
    expect(findBrokenCode(all).map(({ text }) => text)).toEqual([])
  })
  it('have at most 150 lines', () => {
    expect(compareWithExceptions('page length', markdown.findLongPages(all))).toEqual([])
  })
})

describe('pictures', () => {
  it('are as their texts say: node scripts/draw-pictures.mjs draws them anew', () => {
    const args = [join(root, 'scripts', 'draw-pictures.mjs'), '--check']
    expect(spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout).toBe('')
  })
  it('are each shown on a page', () => {
    const names = globSync('docs/pictures/*.txt', { cwd: root }).map((path) =>
      basename(path, '.txt'),
    )
    const isShown = (name: string): boolean =>
      all.some(({ text }) => text.includes(`](pictures/${name}.svg)`))
    expect(names.length).toBeGreaterThan(40)
    expect(names.filter((name) => !isShown(name))).toEqual([])
  })
})

describe('ARCHITECTURE.md', () => {
  it('has the floor plan that the imports are held to, in whole numbers', () => {
    const plan = { ...floors, 'index.ts': entryFloor }
    const built = Object.entries(plan).filter(([folder]) => existsSync(join(root, 'src', folder)))
    const table = markdown.readFloorTable(readPage('ARCHITECTURE.md'))
    expect(table.map(({ folder, floor }) => [folder, floor]).toSorted()).toEqual(built.toSorted())
    expect(Object.values(plan).filter((floor) => !Number.isInteger(floor))).toEqual([])
  })
  it('lists the rooms of each folder in the order that the imports are held to', () => {
    const isFolder = (room: string): boolean => room !== '' && !room.endsWith('.ts')
    const table = markdown.readFloorTable(readPage('ARCHITECTURE.md'))
    const plan = table.map(({ folder }) => [folder, ...(rooms[folder] ?? []).filter(isFolder)])
    expect(table.map((row) => [row.folder, ...row.rooms])).toEqual(plan)
  })
  it('names only paths that exist', () => {
    const paths = markdown.listPaths(readPage('ARCHITECTURE.md'))
    expect(paths.length).toBeGreaterThan(20)
    expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([])
  })
})

describe('CONTRIBUTING.md', () => {
  it('links to the floor plan and repeats no table of ARCHITECTURE.md', () => {
    const text = readPage('CONTRIBUTING.md')
    expect(text).toContain('(ARCHITECTURE.md')
    expect(markdown.readFloorTable(text)).toEqual([])
    const heads = (page: string): string[] =>
      markdown.readTables(readPage(page)).map((rows) => rows[0]!.join(' | '))
    const twice = heads('CONTRIBUTING.md').filter((head) => heads('ARCHITECTURE.md').includes(head))
    expect(twice).toEqual([])
  })
  it('names only paths that exist', () => {
    const paths = markdown.listPaths(readPage('CONTRIBUTING.md'))
    expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([])
  })
})

/** Too long, and pushed: a history that others have is not rewritten. */
const publishedSubjects: ReadonlySet<string> = new Set([
  'Refuse a model of 39 GB by its head in a test; choose parts of the study of sizes',
  'Restore a code block of the users page; reword train, serve, learn and merge pages',
  'Reword comments, errors and option texts of runtime, server, train and web',
])

describe('commits', () => {
  it('have subjects of at most 72 characters', ({ skip }) => {
    if (!existsSync(join(root, '.git'))) skip('no git history here')
    const range = ['log', '--no-merges', '--format=%h %s', `${firstCommit}..HEAD`]
    const { status, stdout } = spawnSync('git', range, { cwd: root, encoding: 'utf8' })
    if (status !== 0) skip(`the history does not reach back to ${firstCommit}`)
    const long = markdown.findLongSubjects(stdout.trim().split('\n'))
    const isNew = (line: string): boolean => !publishedSubjects.has(line.replace(/^\S+ /, ''))
    expect(long.filter(isNew)).toEqual([])
  })
})

describe('the rules refuse', () => {
  it('wide prose, but no wide table, code or address', () => {
    const wide = 'x'.repeat(121)
    const text = `${wide}\n| ${wide} |\n\`\`\`\n${wide}\n\`\`\`\nhttps://${wide}\n${wide.slice(1)}`
    expect(markdown.findWideProse([{ path: 'a.md', text }])).toEqual([
      { key: 'a.md', text: 'a.md:1: 121 columns' },
    ])
  })
  it.each([
    ['js', 'const a = await read(\n  1,\n)\n', 'const a = await read(1, \n'],
    ['ts', 'const a: number = 1\n', 'a constant that is a\nnumber\n'],
    ['json', '{ "a": 1 }\n', '{ "a": 1 }\n{ "a": 2 }\n'],
    ['jsonl', '{ "a": 1 }\n{ "a": 2 }\n', '{ "a":\n1 }\n'],
    ['sh', 'graft run "a\nb" \\\n  --seed 1\n', 'graft run "a"\n--seed 1\n'],
    ['sh', "cat > rows <<'ROWS'\nx,y\nROWS\ngraft models\n", 'graft train --data\nrows.jsonl\n'],
  ])('code that does not parse: %s', (language, right, wrong) => {
    const page = (code: string) => [
      { path: 'a.md', text: `\`\`\`${language} run\n${code}\`\`\`\n` },
    ]
    expect(findBrokenCode(page(right))).toEqual([])
    expect(findBrokenCode(page(wrong))).toHaveLength(1)
  })
  it('long pages', () => {
    const page = (lines: number) => [{ path: 'a.md', text: 'x\n'.repeat(lines) }]
    expect(markdown.findLongPages(page(151))).toHaveLength(1)
    expect(markdown.findLongPages(page(150))).toEqual([])
  })
  it('a floor plan that differs: the table is read row by row', () => {
    const table =
      '| floor | folder | what | rooms |\n| --: | --- | --- | --- |\n| 1 | `src/formats` | x | `a` `b` |\n'
    expect(markdown.readFloorTable(`# x\n\n${table}`)).toEqual([
      { floor: 1, folder: 'formats', rooms: ['a', 'b'] },
    ])
    expect(markdown.readFloorTable('| command | what |\n| --- | --- |\n| a | b |')).toEqual([])
  })
  it('paths: patterns and names of anything else are none', () => {
    const text = '`src/a.ts` [b](docs/b.md) `src/<kind>.ts` `graftlm/node` `test/x/` `NOTICE.md`'
    expect(markdown.listPaths(text)).toEqual(['src/a.ts', 'docs/b.md', 'test/x/', 'NOTICE.md'])
  })
  it('long subjects', () => {
    expect(markdown.findLongSubjects([`abc ${'x'.repeat(73)}`, `abc ${'x'.repeat(72)}`])).toEqual([
      `abc ${'x'.repeat(73)}`,
    ])
  })
})

// House rules that a machine can hold: sizes, headers, words that must not be left behind, tests
// that can fail.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { compareWithExceptions, formatterIgnores, longTables } from './support/exceptions.ts'
import * as rules from './support/rules.ts'
import { parseSource, readSources, readTexts, root } from './support/sources.ts'
import { allowedNames, allowedVerbs } from './support/verbs.ts'

const all = readSources('src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts', 'examples/**/*.ts')
const sources = all.filter(rules.isSource)
const products = [...sources, ...all.filter((file) => /^(bench|examples)\//.test(file.path))]
const tests = all.filter((file) => file.path.endsWith('.test.ts'))

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>
  dependencies: Record<string, string>
  prettier: { printWidth: number }
}

/** The value below which `share` of the values lie. */
const quantile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]!

describe('sizes', () => {
  it('the median source file has at most 120 lines', () => {
    expect(
      quantile(
        sources.map((file) => file.lines),
        0.5,
      ),
    ).toBeLessThanOrEqual(120)
  })
  it('no file has more than 500 lines, no source file more than 300', () => {
    const tooLong = all.filter((file) => file.lines > rules.limits.tableLines)
    expect(tooLong.map((file) => `${file.path}: ${file.lines} lines`)).toEqual([])
    const noTables = rules.findLongFiles(products).filter(({ key }) => !(key in longTables))
    expect(compareWithExceptions('file length', noTables)).toEqual([])
  })
  it('the list of long tables names only files that are long', () => {
    const long = new Set(rules.findLongFiles(products).map(({ key }) => key))
    expect(Object.keys(longTables).filter((path) => !long.has(path))).toEqual([])
  })
  it('nine functions of ten have at most 40 lines', () => {
    const lengths = sources.flatMap((file) => file.functions.map((item) => item.lines))
    expect(lengths.length).toBeGreaterThan(50)
    expect(quantile(lengths, 0.9)).toBeLessThanOrEqual(40)
  })
  it('no function has more than 60 lines', () => {
    const found = rules.findLongFunctions(products)
    expect(compareWithExceptions('function length', found)).toEqual([])
  })
  it('no class has more than 250 lines or 25 members', () => {
    expect(compareWithExceptions('class size', rules.findLargeClasses(products))).toEqual([])
  })
  it('no folder has more than 20 source files', () => {
    expect(compareWithExceptions('folder size', rules.findFullFolders(products))).toEqual([])
  })
  it('no entry exports more than 25 values', () => {
    expect(compareWithExceptions('entry values', rules.findWideEntries(sources))).toEqual([])
  })
})

describe('lines', () => {
  it('the formatter breaks at 100 columns, and at most 1 % of the lines are wider', () => {
    expect(manifest.prettier.printWidth).toBe(rules.limits.width)
    expect(rules.computeWideShare(sources)).toBeLessThanOrEqual(0.01)
  })
  it('the formatter is switched off at most 20 times, each time with a reason', () => {
    const texts = readTexts('{src,test,bench,examples,kernels,scripts}/**/*.{ts,mjs,mts,js}')
    const counts: Record<string, number> = {}
    for (const { key } of rules.findFormatterIgnores(texts)) counts[key] = (counts[key] ?? 0) + 1
    const allowed = Object.entries(formatterIgnores).map(([path, { count }]) => [path, count])
    expect(counts).toEqual(Object.fromEntries(allowed))
    expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(20)
  })
  it('no object literal is spread into an object literal', () => {
    const found = rules.findLiteralSpreads(products)
    expect(compareWithExceptions('literal spread', found)).toEqual([])
  })
  it('a tuple is assigned only to swap or to take a shape apart', () => {
    expect(compareWithExceptions('tuple assignment', rules.findTuples(products))).toEqual([])
  })
})

describe('names', () => {
  it('an exported type name is unique in src', () => {
    expect(compareWithExceptions('type names', rules.findDoubleTypes(sources))).toEqual([])
  })
  it('two files of a folder do not differ by a plural s alone', () => {
    expect(compareWithExceptions('plural twins', rules.findPluralTwins(products))).toEqual([])
  })
  it('a function at the top of a file starts with a verb', () => {
    expect(compareWithExceptions('verbs', rules.findNamesWithoutVerb(products))).toEqual([])
  })
  it('at most 3 % of these functions end in Of', () => {
    expect(rules.computeOfShare(products)).toBeLessThanOrEqual(0.03)
  })
  it('the tables of verbs and of other names list only what is used', () => {
    const names = products.flatMap((file) => file.topLevelFunctions.map(({ name }) => name))
    const words = new Set(names.map((name) => /^[a-z]+[0-9]*/.exec(name)?.[0]))
    expect([...allowedVerbs].filter((word) => !words.has(word))).toEqual([])
    expect(Object.keys(allowedNames).filter((name) => !names.includes(name))).toEqual([])
  })
})

describe('test helpers', () => {
  it('in src import only from their own folder and from lower floors', () => {
    const found = rules.findUpwardHelpers(all)
    expect(compareWithExceptions('upward test helpers', found)).toEqual([])
  })
})

describe('the rules refuse', () => {
  const parse = (text: string, path = 'src/graph/x.ts') => [parseSource(path, text)]
  const keys = (findings: readonly rules.Finding[]): string[] => findings.map(({ key }) => key)

  it('long files, functions and classes, classes with many members', () => {
    const lines = (count: number): string => '\n'.repeat(count)
    expect(keys(rules.findLongFiles(parse(lines(301))))).toEqual(['src/graph/x.ts'])
    expect(rules.findLongFiles(parse(lines(300)))).toEqual([])
    const inner = `const a = { run: () => {${lines(60)}} }`
    expect(keys(rules.findLongFunctions(parse(inner)))).toEqual(['src/graph/x.ts#run'])
    expect(rules.findLongFunctions(parse(`function f() {${lines(59)}}`))).toEqual([])
    const long = `class A {${lines(250)}}`
    expect(keys(rules.findLargeClasses(parse(long)))).toEqual(['src/graph/x.ts#A'])
    const members = Array.from({ length: 26 }, (_, i) => `a${i} = 0`).join('\n')
    expect(rules.findLargeClasses(parse(`class A {${members}}`))).toHaveLength(1)
    expect(rules.findLargeClasses(parse(`class A {${members.slice(7)}}`))).toEqual([])
  })
  it('full folders and files that differ by a plural s', () => {
    const files = Array.from({ length: 21 }, (_, i) => parseSource(`src/graph/f${i}.ts`, ''))
    expect(keys(rules.findFullFolders(files))).toEqual(['src/graph'])
    expect(rules.findFullFolders(files.slice(1))).toEqual([])
    const twins = [parseSource('src/learn/user.ts', ''), parseSource('src/learn/users.ts', '')]
    expect(keys(rules.findPluralTwins(twins))).toEqual(['src/learn/user.ts'])
  })
  it('a type name that two files export', () => {
    const files = [
      parseSource('src/learn/a.ts', 'export interface A {}'),
      parseSource('src/train/b.ts', 'export class A {}'),
      parseSource('src/train/c.ts', "type A = 1\nexport type { A } from './b.ts'"),
    ]
    expect(keys(rules.findDoubleTypes(files))).toEqual(['A'])
    expect(rules.findDoubleTypes(files.slice(1))).toEqual([])
  })
  it('function names without a verb, participles, and counts names in Of', () => {
    const text =
      'function rowError() {}\nexport const shown = () => 1\nexport const sizeOf = () => 1\n' +
      'const softmaxes = async () => 1\nfunction readRow() {}\nfunction isOld() {}'
    const found = keys(rules.findNamesWithoutVerb(parse(text)))
    expect(found.map((key) => key.split('#')[1])).toEqual(['rowError', 'shown', 'softmaxes'])
    expect(rules.computeOfShare(parse(text))).toBeCloseTo(1 / 6)
  })
  it('literal spreads and tuples', () => {
    expect(rules.findLiteralSpreads(parse('const a = { ...{ b: 1 }, c: 2 }'))).toHaveLength(1)
    expect(rules.findLiteralSpreads(parse('const a = { ...(b && { c: 2 }), ...d }'))).toEqual([])
    expect(rules.findTuples(parse('const [a, b] = [1, 2]'))).toHaveLength(1)
    expect(rules.findTuples(parse(';[sum, n] = [sum + x, n + 1]'))).toHaveLength(1)
    expect(rules.findTuples(parse(';[a[i], a[j]] = [a[j]!, a[i]!]'))).toEqual([])
    expect(rules.findTuples(parse('const [n, k] = x.shape'))).toEqual([])
    expect(rules.findTuples(parse('const [[n], [k]] = [x.shape, y.shape]'))).toEqual([])
  })
  it('wide entries, counting what is exported in bulk but no types', () => {
    const names = Array.from({ length: 25 }, (_, i) => `a${i}`)
    const entry = (text: string): ReturnType<typeof parseSource>[] => [
      parseSource('src/train/index.ts', text),
      parseSource('src/train/b.ts', 'export const b = 1\nexport interface C {}'),
    ]
    const values = `export { ${names.join(', ')}, type T } from './a.ts'\nexport type { U } from './c.ts'`
    expect(rules.findWideEntries(entry(values))).toEqual([])
    expect(keys(rules.findWideEntries(entry(`${values}\nexport * from './b.ts'`)))).toEqual([
      'src/train/index.ts',
    ])
  })
  it('test helpers in src that import upward', () => {
    const found = (path: string): rules.Finding[] =>
      rules.findUpwardHelpers(parse(`import { a } from '${path}'`, 'src/graph/testing.ts'))
    expect(found('../node/a.ts')).toHaveLength(1)
    expect(found('../../test/a.ts')).toHaveLength(1)
    const allowed = ['../base/a.ts', './a.ts', 'vitest', '../../test/support/a.ts']
    expect(allowed.flatMap(found)).toEqual([])
  })
  it('comments that name a file which is gone', () => {
    const text =
      '// See rope.ts and graph/old.ts.\n/** As <kind>.ts and y.ts. */\nimport "./no-comment.ts"'
    const found = rules.findStaleFileNames(parse(text), ['src/graph/rope.ts', 'src/y.ts'])
    expect(found.map((finding) => finding.text)).toEqual([
      'src/graph/x.ts:1: names graph/old.ts, which does not exist',
    ])
  })
  it('switching the formatter off', () => {
    const text = `a\n// prettier-${'ignore'}\nb // prettier-${'ignore'}`
    expect(rules.findFormatterIgnores([{ path: 'a.ts', text }])).toHaveLength(2)
  })
  it('wide lines', () => {
    expect(rules.computeWideShare(parse(`${' '.repeat(101)}\n${' '.repeat(100)}`))).toBe(0.5)
  })
})

describe('every file', () => {
  it('begins with a comment on its purpose', () => {
    const bare = all.filter(
      (file) =>
        !file.path.endsWith('.test.ts') && !/^(#![^\n]*\n)?(\/\/ ?\S|\/\*\*)/.test(file.text),
    )
    expect(bare.map((file) => `${file.path}:1: no header comment`)).toEqual([])
  })
  it('is named in kebab-case', () => {
    const odd = all.filter(
      (file) => !/^[a-z0-9]+([-_.][a-z0-9]+)*\.ts$/.test(file.path.split('/').at(-1)!),
    )
    expect(odd.map((file) => file.path)).toEqual([])
  })
  it('names in its comments only files that exist', () => {
    const found = rules.findStaleFileNames(
      products,
      readTexts('{src,test,bench,examples,kernels}/**/*.ts').map(({ path }) => path),
    )
    expect(compareWithExceptions('file names in comments', found)).toEqual([])
  })
  it('holds no left-over mark, silenced check or private host', () => {
    // Put together from halves, so that this file does not find itself.
    const marks = [
      'TO' + 'DO',
      'FIX' + 'ME',
      'X' + 'XX',
      '@ts-' + 'ignore',
      '@ts-' + 'nocheck',
      '@ts-' + 'expect-error',
      'eslint-' + 'disable',
      'oxlint-' + 'disable',
      ' as ' + 'any',
    ]
    const hosts = [
      'registry' + '.npmjs.org',
      'npmmirror' + '.com',
      'jfrog' + '.io',
      'localhost' + ':4873',
    ]
    // In a test it asserts that the compiler refuses the next line, and says why.
    const isTypeTest = (path: string, line: string): boolean =>
      path.endsWith('.test.ts') && new RegExp(`// @ts-expect-${'error'} \\w+`).test(line)
    const found = all.flatMap((file) =>
      file.text
        .split('\n')
        .flatMap((line, i) =>
          [...marks, ...hosts]
            .filter((word) => line.includes(word) && !isTypeTest(file.path, line))
            .map((word) => `${file.path}:${i + 1}: ${word}`),
        ),
    )
    expect(found).toEqual([])
  })
})

describe('every test file', () => {
  it('expects something', () => {
    // A file may hand its expectations to a contract suite that it runs.
    const runsContract = (file: (typeof tests)[number]): boolean =>
      file.imports.some(({ specifier }) => specifier.endsWith('.contract.ts'))
    const empty = tests.filter((file) => !/\bexpect(\.|\()/.test(file.text) && !runsContract(file))
    expect(empty.map((file) => `${file.path}: no expectation`)).toEqual([])
  })
  it('contract suites expect something too', () => {
    const empty = all.filter(
      (file) => file.path.endsWith('.contract.ts') && !/\bexpect(\.|\()/.test(file.text),
    )
    expect(empty.map((file) => file.path)).toEqual([])
  })
  it('runs whole: nothing is singled out', () => {
    const only = new RegExp(`\\b(it|test|describe)\\.${'on' + 'ly'}\\b`)
    expect(tests.filter((file) => only.test(file.text)).map((file) => file.path)).toEqual([])
  })
})

describe('package.json', () => {
  it('has at most eight scripts in addition to prepack', () => {
    expect(
      Object.keys(manifest.scripts).filter((name) => name !== 'prepack').length,
    ).toBeLessThanOrEqual(8)
  })
  it('pins every dependency exactly', () => {
    const loose = Object.entries(manifest.dependencies).filter(
      ([, version]) => !/^\d+\.\d+\.\d+$/.test(version),
    )
    expect(loose).toEqual([])
  })
})

// House rules that a machine can hold: sizes, headers, words that must not be left behind, tests
// that can fail.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { isTestCode, readSources, root } from './support/sources.ts'

const all = readSources('src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts', 'examples/**/*.ts')
const sources = all.filter((file) => file.path.startsWith('src/') && !isTestCode(file.path))
const tests = all.filter((file) => file.path.endsWith('.test.ts'))

/** Files that may be longer than 500 lines, each with its reason. */
const longTables: Record<string, string> = {}

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
  it('no file has more than 500 lines', () => {
    const tooLong = all.filter((file) => file.lines > 500 && !(file.path in longTables))
    expect(tooLong.map((file) => `${file.path}: ${file.lines} lines`)).toEqual([])
  })
  it('the list of long tables names only files that are long', () => {
    const named = Object.keys(longTables).filter(
      (path) => !all.some((file) => file.path === path && file.lines > 500),
    )
    expect(named).toEqual([])
  })
  it('nine functions of ten have at most 40 lines', () => {
    const lengths = sources.flatMap((file) => file.functions.map((item) => item.lines))
    expect(lengths.length).toBeGreaterThan(50)
    expect(quantile(lengths, 0.9)).toBeLessThanOrEqual(40)
  })
  it('no function has more than 60 lines', () => {
    const tooLong = sources.flatMap((file) =>
      file.functions
        .filter((item) => item.lines > 60)
        .map((item) => `${file.path}:${item.line}: ${item.lines} lines`),
    )
    expect(tooLong).toEqual([])
  })
})

describe('every file', () => {
  it('opens with a comment that says what it is for', () => {
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
    const found = all.flatMap((file) =>
      file.text
        .split('\n')
        .flatMap((line, i) =>
          [...marks, ...hosts]
            .filter((word) => line.includes(word))
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
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
    dependencies: Record<string, string>
  }
  it('has at most eight scripts beside prepack', () => {
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

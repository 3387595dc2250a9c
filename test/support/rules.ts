// The house rules as functions from parsed files to findings. A finding has a key that stays the
// same when lines move (`file` or `file#name`), so that a table of exceptions can name it.
// Independent of the disk: the rules can be tried on made-up files.
import { basename, dirname, posix } from 'node:path'
import { floors } from './floors.ts'
import { type SourceFile, isTestCode, resolveImport } from './sources.ts'
import { allowedNames, allowedVerbs } from './verbs.ts'

/** One breach of a rule. */
export interface Finding {
  key: string
  /** With the line and the number that was found. */
  text: string
}

export const limits = {
  width: 100,
  fileLines: 300,
  tableLines: 500,
  functionLines: 60,
  classLines: 250,
  classMembers: 25,
  folderFiles: 20,
  entryValues: 25,
  markdownWidth: 120,
  pageLines: 150,
  subjectLength: 72,
}

const toFinding = (file: SourceFile, line: number, name: string, text: string): Finding => ({
  key: name === '' ? file.path : `${file.path}#${name}`,
  text: `${file.path}:${line}: ${text}`,
})

export const findLongFiles = (files: readonly SourceFile[]): Finding[] =>
  files
    .filter((file) => file.lines > limits.fileLines)
    .map((file) => toFinding(file, 1, '', `${file.lines} lines`))

export const findLongFunctions = (files: readonly SourceFile[]): Finding[] =>
  files.flatMap((file) =>
    file.functions
      .filter((item) => item.lines > limits.functionLines)
      .map((item) => toFinding(file, item.line, item.name, `${item.lines} lines`)),
  )

export const findLargeClasses = (files: readonly SourceFile[]): Finding[] =>
  files.flatMap((file) =>
    file.classes
      .filter((item) => item.lines > limits.classLines || item.members > limits.classMembers)
      .map((item) =>
        toFinding(file, item.line, item.name, `${item.lines} lines, ${item.members} members`),
      ),
  )

function groupBy<Item>(items: readonly Item[], key: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item])
  return groups
}

export const findFullFolders = (files: readonly SourceFile[]): Finding[] =>
  [...groupBy(files, (file) => dirname(file.path))]
    .filter(([, inside]) => inside.length > limits.folderFiles)
    .map(([folder, inside]) => ({ key: folder, text: `${folder}: ${inside.length} source files` }))

/** Two files of a folder whose names differ by a plural s. */
export function findPluralTwins(files: readonly SourceFile[]): Finding[] {
  const paths = new Set(files.map((file) => file.path))
  return files
    .filter((file) => paths.has(file.path.replace(/\.ts$/, 's.ts')))
    .map((file) => toFinding(file, 1, '', `beside ${basename(file.path, '.ts')}s.ts`))
}

export const findDoubleTypes = (files: readonly SourceFile[]): Finding[] =>
  [
    ...groupBy(
      files.flatMap((file) => file.exportedTypes.map((item) => ({ ...item, file }))),
      (item) => item.name,
    ),
  ]
    .filter(([, found]) => found.length > 1)
    .map(([name, found]) => ({
      key: name,
      text: `${name}: exported by ${found.map((item) => `${item.file.path}:${item.line}`).join(', ')}`,
    }))

const endsInOf = (name: string): boolean => /[a-z0-9]Of$/.test(name)

/** The first word of a camelCase name. */
const readFirstWord = (name: string): string => /^[a-z]+[0-9]*|^[A-Z]?[a-z]*/.exec(name)![0]

/** Functions whose name starts with no verb of the table; names ending in Of are counted apart. */
export const findNamesWithoutVerb = (files: readonly SourceFile[]): Finding[] =>
  files.flatMap((file) =>
    file.topLevelFunctions
      .filter(({ name }) => !endsInOf(name) && !(name in allowedNames))
      .filter(({ name }) => !allowedVerbs.has(readFirstWord(name)))
      .map(({ name, line }) =>
        toFinding(
          file,
          line,
          name,
          `${name}: "${readFirstWord(name)}" is no verb of test/support/verbs.ts`,
        ),
      ),
  )

/** The share of top-level functions whose name ends in Of. */
export function computeOfShare(files: readonly SourceFile[]): number {
  const names = files.flatMap((file) => file.topLevelFunctions.map((item) => item.name))
  return names.filter(endsInOf).length / names.length
}

export const findLiteralSpreads = (files: readonly SourceFile[]): Finding[] =>
  files.flatMap((file) =>
    file.literalSpreads.map((line) =>
      toFinding(file, line, '', 'an object literal is spread into an object literal'),
    ),
  )

/** Taking shapes apart (`[[rows], [columns]] = [a.shape, b.shape]`) is allowed, a swap as well. */
export const findTuples = (files: readonly SourceFile[]): Finding[] =>
  files.flatMap((file) =>
    file.tupleAssignments
      .filter(({ name }) => !/\] = \[.*shape/i.test(name))
      .map(({ name, line }) => toFinding(file, line, '', `assigns a tuple: ${name}`)),
  )

/**
 * Every value that an entry exports, through `export *` as well. The main entry, which graftlm/node and
 * graftlm/web repeat whole, is counted once, by itself.
 */
function listValues(path: string, byPath: ReadonlyMap<string, SourceFile>): string[] {
  const file = byPath.get(path)
  if (!file) return []
  const others = file.exportsAllOf
    .map((specifier) => posix.join(dirname(path), specifier))
    .filter((other) => other !== 'src/index.ts')
  return [...file.exportedValues, ...others.flatMap((other) => listValues(other, byPath))]
}

export function findWideEntries(files: readonly SourceFile[]): Finding[] {
  const byPath = new Map(files.map((file) => [file.path, file]))
  return files
    .filter((file) => /^src\/([^/]+\/)?index\.ts$/.test(file.path))
    .map((file) => ({ file, count: new Set(listValues(file.path, byPath)).size }))
    .filter(({ count }) => count > limits.entryValues)
    .map(({ file, count }) => toFinding(file, 1, '', `exports ${count} values`))
}

/**
 * Test helpers and contract suites in src that import from a higher floor. What needs one is in
 * test/support, from where they may take it.
 */
export function findUpwardHelpers(files: readonly SourceFile[]): Finding[] {
  const getFloor = (path: string): number =>
    path.startsWith('src/') ? (floors[path.split('/')[1]!] ?? Infinity) : Infinity
  const getFolder = (path: string): string => path.split('/').slice(0, 2).join('/')
  return files
    .filter((file) => file.path.startsWith('src/') && /(contract|testing)\.ts$/.test(file.path))
    .flatMap((file) =>
      file.imports.flatMap((item) => {
        const target = resolveImport(file, item)
        const isLower =
          target === undefined ||
          target.startsWith('test/support/') ||
          getFolder(target) === getFolder(file.path) ||
          getFloor(target) < getFloor(file.path)
        return isLower ? [] : [toFinding(file, item.line, '', `imports ${target}`)]
      }),
    )
}

/** Names of files in comments that fit no file of the project: they were moved or renamed. */
export function findStaleFileNames(
  files: readonly SourceFile[],
  paths: readonly string[],
): Finding[] {
  const exists = (name: string): boolean =>
    paths.some((path) => path === name || path.endsWith(`/${name}`))
  return files.flatMap((file) =>
    file.text.split('\n').flatMap((line, i) => {
      const comment = /^\s*(?:\/\/|\/?\*)(.*)/.exec(line)?.[1] ?? ''
      const names = [...comment.matchAll(/(?<![\w<>*{}$/.-])((?:[\w-]+\/)*[\w.-]+\.ts)\b/g)]
      return names
        .map(([, name]) => name!)
        .filter((name) => !exists(name))
        .map((name) => toFinding(file, i + 1, '', `names ${name}, which does not exist`))
    }),
  )
}

/** Comments that switch the formatter off, by file. */
export const findFormatterIgnores = (files: readonly { path: string; text: string }[]): Finding[] =>
  files.flatMap(({ path, text }) =>
    [...text.matchAll(new RegExp(`prettier-${'ignore'}`, 'g'))].map(({ index }) => ({
      key: path,
      text: `${path}:${text.slice(0, index).split('\n').length}: switches the formatter off`,
    })),
  )

/** The share of lines that are wider than the formatter's width. */
export function computeWideShare(files: readonly SourceFile[]): number {
  const lines = files.flatMap((file) => file.text.split('\n'))
  return lines.filter((line) => line.length > limits.width).length / lines.length
}

export const isSource = (file: SourceFile): boolean =>
  file.path.startsWith('src/') && !isTestCode(file.path)

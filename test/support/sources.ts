// Reads the project's own sources for the tests about the house: files with their imports,
// functions, classes, exported names and a few marks of style, each with its line number.
// Independent of the house rules: those are in rules.ts and floors.ts.
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseAst } from 'vitest/node'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** One import, re-export or dynamic import of a file. */
export interface Import {
  specifier: string
  line: number
  /** Only types are taken, so nothing of it is left at run time. */
  typeOnly: boolean
}

export interface FunctionLength {
  /** Its own name, or the name of what it is assigned to; '' where it has neither. */
  name: string
  line: number
  lines: number
}

export interface ClassSize {
  name: string
  line: number
  lines: number
  members: number
}

export interface NamedLine {
  name: string
  line: number
}

export interface SourceFile {
  /** From the project's root, with `/`. */
  path: string
  text: string
  lines: number
  imports: Import[]
  functions: FunctionLength[]
  classes: ClassSize[]
  /** Functions at the top of the file, and constants there whose value is a function. */
  topLevelFunctions: NamedLine[]
  /** Interfaces, type aliases and classes that are declared here and exported. */
  exportedTypes: NamedLine[]
  /** Names of exported values: declared here or taken from other files. */
  exportedValues: string[]
  /** Files of which everything is exported (`export * from`). */
  exportsAllOf: string[]
  /** An object literal that is spread into an object literal. */
  literalSpreads: number[]
  /** Several values assigned at once from an array literal; a swap is none. */
  tupleAssignments: NamedLine[]
}

interface Node {
  type: string
  start: number
  end: number
  [key: string]: unknown
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'

function visitAll(node: Node, visit: (node: Node, parent?: Node) => void, parent?: Node): void {
  visit(node, parent)
  for (const value of Object.values(node)) {
    const children = Array.isArray(value) ? value : [value]
    for (const child of children) if (isNode(child)) visitAll(child, visit, node)
  }
}

/** `import { type A, type B } from` takes only types as well. */
function takesOnlyTypes(node: Node): boolean {
  if (node['importKind'] === 'type' || node['exportKind'] === 'type') return true
  const specifiers = (node['specifiers'] ?? []) as Node[]
  return (
    specifiers.length > 0 &&
    specifiers.every((item) => item['importKind'] === 'type' || item['exportKind'] === 'type')
  )
}

function findImport(node: Node, lineAt: (offset: number) => number): Import | undefined {
  const source = node['source'] as Node | undefined
  if (!isNode(source) || typeof source['value'] !== 'string') return undefined
  const typeOnly = node.type === 'TSImportType' || takesOnlyTypes(node)
  return { specifier: source['value'], line: lineAt(source.start), typeOnly }
}

const functionTypes = new Set([
  'FunctionDeclaration',
  'FunctionExpression',
  'ArrowFunctionExpression',
])
const typeDeclarations = new Set([
  'TSInterfaceDeclaration',
  'TSTypeAliasDeclaration',
  'ClassDeclaration',
])

const getIdentifier = (node: unknown): string =>
  isNode(node) && (node.type === 'Identifier' || node.type === 'PrivateIdentifier')
    ? String(node['name'])
    : ''

/** The name of a function or class: its own, or that of the constant, field or method it fills. */
const findName = (node: Node, parent?: Node): string =>
  getIdentifier(node['id']) || getIdentifier(parent?.['id']) || getIdentifier(parent?.['key'])

const isFunction = (node: unknown): node is Node => isNode(node) && functionTypes.has(node.type)

/** What a statement declares by name, each with the node that is its value. */
function listDeclared(statement: Node): { name: string; value: Node; node: Node }[] {
  if (statement.type !== 'VariableDeclaration')
    return [{ name: getIdentifier(statement['id']), value: statement, node: statement }]
  return (statement['declarations'] as Node[]).flatMap((node) =>
    isNode(node['init'])
      ? [{ name: getIdentifier(node['id']), value: node['init'], node: statement }]
      : [],
  )
}

type Found = Omit<SourceFile, 'path' | 'text' | 'lines'>

function collectTopLevel(program: Node, lineAt: (offset: number) => number, found: Found): void {
  for (const statement of program['body'] as Node[]) {
    const exported = statement.type === 'ExportNamedDeclaration'
    const declaration = exported ? statement['declaration'] : statement
    if (statement.type === 'ExportAllDeclaration' && statement['exportKind'] !== 'type')
      if (isNode(statement['exported']))
        found.exportedValues.push(getIdentifier(statement['exported']))
      else found.exportsAllOf.push(String((statement['source'] as Node)['value']))
    if (exported && statement['exportKind'] !== 'type')
      for (const item of statement['specifiers'] as Node[])
        if (item['exportKind'] !== 'type')
          found.exportedValues.push(getIdentifier(item['exported']))
    if (!isNode(declaration)) continue
    for (const { name, value, node } of listDeclared(declaration)) {
      const line = lineAt(node.start)
      if (isFunction(value)) found.topLevelFunctions.push({ name, line })
      if (!exported || name === '') continue
      if (typeDeclarations.has(node.type)) found.exportedTypes.push({ name, line })
      if (!node.type.startsWith('TS')) found.exportedValues.push(name)
    }
  }
}

/** `[a, b] = [b, a]`: both sides name the same places. */
function isSwap(left: Node, right: Node, text: string): boolean {
  const places = (list: Node): string =>
    (list['elements'] as (Node | null)[])
      .map((item) => (item ? text.slice(item.start, item.end).replace(/!$/, '') : ''))
      .toSorted()
      .join()
  return places(left) === places(right)
}

/** The two sides of an assignment of an array literal to an array pattern. */
function findTuple(node: Node, text: string): Node | undefined {
  const isDeclarator = node.type === 'VariableDeclarator'
  if (!isDeclarator && node.type !== 'AssignmentExpression') return undefined
  const left = node[isDeclarator ? 'id' : 'left'] as Node
  const right = node[isDeclarator ? 'init' : 'right'] as Node | null
  if (left.type !== 'ArrayPattern' || right?.type !== 'ArrayExpression') return undefined
  return isSwap(left, right, text) ? undefined : node
}

function collectMarks(
  node: Node,
  parent: Node | undefined,
  { text, lineAt }: { text: string; lineAt: (offset: number) => number },
  found: Found,
): void {
  const line = lineAt(node.start)
  const size = { name: findName(node, parent), line, lines: lineAt(node.end) - line + 1 }
  if (isFunction(node)) found.functions.push(size)
  if (node.type === 'ClassDeclaration' || node.type === 'ClassExpression')
    found.classes.push({ ...size, members: ((node['body'] as Node)['body'] as Node[]).length })
  if (node.type === 'SpreadElement' && parent?.type === 'ObjectExpression')
    if ((node['argument'] as Node).type === 'ObjectExpression') found.literalSpreads.push(line)
  if (findTuple(node, text))
    found.tupleAssignments.push({ line, name: text.slice(node.start, node.end).split('\n')[0]! })
}

/** Parses one TypeScript file. */
export function parseSource(path: string, text: string): SourceFile {
  const starts = [0, ...[...text.matchAll(/\n/g)].map((match) => match.index + 1)]
  const lineAt = (offset: number): number => starts.findLastIndex((start) => start <= offset) + 1
  const found: Found = {
    imports: [],
    functions: [],
    classes: [],
    topLevelFunctions: [],
    exportedTypes: [],
    exportedValues: [],
    exportsAllOf: [],
    literalSpreads: [],
    tupleAssignments: [],
  }
  const program = parseAst(text, { lang: 'ts' }) as unknown as Node
  collectTopLevel(program, lineAt, found)
  visitAll(program, (node, parent) => {
    const item = findImport(node, lineAt)
    if (item) found.imports.push(item)
    collectMarks(node, parent, { text, lineAt }, found)
  })
  return { path, text, lines: text.split('\n').length - (text.endsWith('\n') ? 1 : 0), ...found }
}

/** Every file that matches, with `/` in its path and its text. */
export const readTexts = (...patterns: string[]): { path: string; text: string }[] =>
  globSync(patterns, { cwd: root, exclude: (path) => path.includes('node_modules') })
    .map((path) => path.replaceAll('\\', '/'))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))

/** Every TypeScript file that matches, parsed. */
export const readSources = (...patterns: string[]): SourceFile[] =>
  readTexts(...patterns)
    .filter(({ path }) => !path.endsWith('.d.ts'))
    .map(({ path, text }) => parseSource(path, text))

/** Files that only tests load: they are neither built nor bound to the floors. */
export const isTestCode = (path: string): boolean =>
  /(\.test|\.contract|(^|\/|\.)testing)\.ts$/.test(path) || path.startsWith('test/')

/** The project path that a relative import names; undefined for packages and built-ins. */
export const resolveImport = (file: SourceFile, { specifier }: Import): string | undefined =>
  specifier.startsWith('.') ? posix.join(posix.dirname(file.path), specifier) : undefined

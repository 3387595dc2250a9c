// Reads the project's own sources for the tests about the house: files, their imports with line
// numbers, their functions with lengths. Independent of the house rules.
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
  line: number
  lines: number
}

export interface SourceFile {
  /** From the project's root, with `/`. */
  path: string
  text: string
  lines: number
  imports: Import[]
  functions: FunctionLength[]
}

interface Node {
  type: string
  start: number
  end: number
  [key: string]: unknown
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'

function visitAll(node: Node, visit: (node: Node) => void): void {
  visit(node)
  for (const value of Object.values(node)) {
    const children = Array.isArray(value) ? value : [value]
    for (const child of children) if (isNode(child)) visitAll(child, visit)
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

function importOf(node: Node, lineAt: (offset: number) => number): Import | undefined {
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

/** Parses one TypeScript file. */
export function parseSource(path: string, text: string): SourceFile {
  const starts = [0, ...[...text.matchAll(/\n/g)].map((match) => match.index + 1)]
  const lineAt = (offset: number): number => starts.findLastIndex((start) => start <= offset) + 1
  const imports: Import[] = []
  const functions: FunctionLength[] = []
  visitAll(parseAst(text, { lang: 'ts' }) as unknown as Node, (node) => {
    const found = importOf(node, lineAt)
    if (found) imports.push(found)
    if (functionTypes.has(node.type))
      functions.push({ line: lineAt(node.start), lines: lineAt(node.end) - lineAt(node.start) + 1 })
  })
  return {
    path,
    text,
    lines: text.split('\n').length - (text.endsWith('\n') ? 1 : 0),
    imports,
    functions,
  }
}

/** Every TypeScript file that matches, parsed. */
export const readSources = (...patterns: string[]): SourceFile[] =>
  globSync(patterns, { cwd: root })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => !path.endsWith('.d.ts'))
    .sort()
    .map((path) => parseSource(path, readFileSync(join(root, path), 'utf8')))

/** Files that only tests load: they are neither built nor bound to the floors. */
export const isTestCode = (path: string): boolean =>
  /(\.test|\.contract|(^|\/|\.)testing)\.ts$/.test(path) || path.startsWith('test/')

/** The project path that a relative import names; undefined for packages and built-ins. */
export const resolveImport = (file: SourceFile, { specifier }: Import): string | undefined =>
  specifier.startsWith('.') ? posix.join(posix.dirname(file.path), specifier) : undefined

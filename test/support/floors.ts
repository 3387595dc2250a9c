// The floor plan of ARCHITECTURE.md as a table, and the rules about imports as functions from files
// to complaints. A complaint names the file, the line and what is wrong. Reads nothing itself, so
// the rules can be tried on made-up files.
import { type Import, type SourceFile, resolveImport } from './sources.ts'

/** Folder under src → floor. A file imports from lower floors and from its own folder. */
export const floors: Record<string, number> = {
  base: 0,
  formats: 1,
  micro: 1.5,
  graph: 2,
  adapters: 3,
  compute: 3,
  train: 4,
  merge: 4,
  route: 4,
  catalogue: 4,
  manifest: 4,
  runtime: 5,
  eval: 5.5,
  learn: 6,
  server: 7,
  node: 8,
  web: 8,
  cli: 9,
}

/** Files directly in src (the main entry) stand above the server and below the platforms. */
const entryFloor = 7.5

const folderOf = (path: string): string => (path.split('/').length > 2 ? path.split('/')[1]! : '')
const floorOf = (folder: string): number | undefined =>
  folder === '' ? entryFloor : floors[folder]
const at = (file: SourceFile, { line }: Import): string => `${file.path}:${line}`

/**
 * A relative import must lead down, or stay in the folder, and never into test code or out of src.
 */
export function floorComplaints(
  files: readonly SourceFile[],
  isTestCode: (path: string) => boolean,
): string[] {
  return files.flatMap((file) => {
    const folder = folderOf(file.path)
    const floor = floorOf(folder)
    if (floor === undefined)
      return [
        `${file.path}:1: the folder src/${folder} has no floor; add it to test/support/floors.ts`,
      ]
    return file.imports.flatMap((item) => {
      const target = resolveImport(file, item)
      if (target === undefined) return []
      const complaint = pathComplaint(folder, floor, target, isTestCode)
      return complaint === undefined ? [] : [`${at(file, item)}: ${complaint}`]
    })
  })
}

function pathComplaint(
  folder: string,
  floor: number,
  target: string,
  isTestCode: (path: string) => boolean,
): string | undefined {
  if (!target.startsWith('src/')) return `imports ${target}, which lies outside of src`
  if (isTestCode(target)) return `imports ${target}, which is test code`
  const below = folderOf(target)
  const targetFloor = floorOf(below)
  if (below === folder) return undefined
  if (targetFloor === undefined) return `imports ${target}, whose folder has no floor`
  if (targetFloor < floor) return undefined
  return `src/${folder} (floor ${floor}) imports ${target} (floor ${targetFloor}); only lower floors and its own folder are allowed`
}

/** Packages and built-ins: who may take what. */
const packageRules: {
  of: RegExp
  allowed: (file: string, typeOnly: boolean) => boolean
  rule: string
}[] = [
  {
    of: /^node:/,
    allowed: (file) => /^src\/(node|cli)\//.test(file),
    rule: 'node:* belongs to src/node and src/cli',
  },
  {
    of: /^onnxruntime-/,
    allowed: (file, typeOnly) =>
      /^src\/(node|web)\//.test(file) || (typeOnly && file.startsWith('src/compute/')),
    rule: 'ONNX Runtime is passed in: src/compute may take its types, only src/node and src/web load it',
  },
]

/**
 * Every package that is imported must be declared, and the platform-bound ones stay where they
 * belong.
 */
export function packageComplaints(
  files: readonly SourceFile[],
  declared: ReadonlySet<string>,
): string[] {
  return files.flatMap((file) =>
    file.imports.flatMap((item) => {
      const { specifier, typeOnly } = item
      if (specifier.startsWith('.')) return []
      const broken = packageRules.filter(
        ({ of, allowed }) => of.test(specifier) && !allowed(file.path, typeOnly),
      )
      const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
      const known = specifier.startsWith('node:') || declared.has(name)
      const missing = known ? [] : [`imports ${specifier}, which package.json does not declare`]
      return [...broken.map(({ rule }) => `imports ${specifier}: ${rule}`), ...missing].map(
        (complaint) => `${at(file, item)}: ${complaint}`,
      )
    }),
  )
}

/** Import cycles, of values or types alike, each once: `a → b → a`. */
export function cycles(files: readonly SourceFile[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]))
  const state = new Map<string, 'open' | 'done'>()
  const found: string[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    const file = byPath.get(path)
    if (!file || state.get(path) === 'done') return
    if (state.get(path) === 'open') {
      found.push([...trail.slice(trail.indexOf(path)), path].join(' → '))
      return
    }
    state.set(path, 'open')
    for (const item of file.imports) {
      const target = resolveImport(file, item)
      if (target !== undefined) visit(target, [...trail, path])
    }
    state.set(path, 'done')
  }
  for (const { path } of files) visit(path, [])
  return found
}

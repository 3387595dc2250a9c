// The floor plan of ARCHITECTURE.md as tables, and the rules about imports as functions from files
// to complaints. A complaint names the file, the line and what is wrong. Independent of the disk:
// the rules can be tried on made-up files.
import { type Import, type SourceFile, resolveImport } from './sources.ts'

/** Folder under src → floor. A file imports from lower floors and from its own folder. */
export const floors: Record<string, number> = {
  base: 0,
  formats: 1,
  micro: 2,
  graph: 3,
  adapters: 4,
  compute: 4,
  train: 5,
  merge: 5,
  catalogue: 5,
  manifest: 5,
  registry: 5,
  runtime: 6,
  eval: 7,
  learn: 8,
  route: 8,
  agents: 9,
  server: 9,
  node: 11,
  web: 11,
  cli: 12,
}

/** Files directly in src (the main entry) stand above the server and below the platforms. */
export const entryFloor = 10

/**
 * Wing → its rooms from the lowest to the highest: a folder inside the wing (`losses`), a single
 * file (`kind.ts`), or '' for the remaining files directly in the wing. Inside a wing a file
 * imports only from its own room and from lower rooms. The longest entry that fits a path decides;
 * the wing's index.ts is above every room without being listed. Wings without a list have no rule.
 */
export const rooms: Record<string, readonly string[]> = {
  base: ['', 'linalg'],
  formats: [
    'quote.ts',
    'half.ts',
    'byte-source.ts',
    'lfs-pointer.ts',
    'json-problem.ts',
    'tensor-store.ts',
    'rotary-rows.ts',
    'quants',
    'convert.ts',
    'grammar',
    'text',
    'safetensors',
    'gguf',
    '',
  ],
  micro: [
    'kernels',
    'target-modules.ts',
    'options.ts',
    'reward.ts',
    'module',
    'files',
    'policy.ts',
    'feedback.ts',
    '',
  ],
  graph: [
    'ir.ts',
    'own-operators.ts',
    'operation.ts',
    'quantized-base',
    'ops',
    'operation-table.ts',
    'builder.ts',
    'model-config.ts',
    'rope.ts',
    'model-graph.ts',
    'architecture.ts',
    'passes',
    'models',
    'readers',
    '',
    'encoders',
  ],
  adapters: [
    'python-regex.ts',
    'targets.ts',
    'presets.ts',
    'activation.ts',
    'virtual-tokens.ts',
    'keys.ts',
    'saved-modules.ts',
    'adapted-layers.ts',
    'kinds',
    'base-copy.ts',
    'mismatch-cause.ts',
    'trainable-tokens.ts',
    'adapter.ts',
    'create-adapter.ts',
    'joint',
    'packed',
    'serving',
    'files',
    'vectors',
    '',
  ],
  compute: ['packing', ''],
  train: [
    'data',
    'rows',
    'datasets',
    'batches',
    'optimizers',
    'schedules',
    'losses',
    'programs',
    'fingerprint.ts',
    'history.ts',
    'ewc',
    'events.ts',
    'exchange.ts',
    'replicas',
    'options',
    'objective',
    'run',
    'vectors',
    'estimate',
  ],
  merge: [
    'kernels',
    'sign-election-simd.ts',
    'magnitude-threshold.ts',
    'sign-election.ts',
    'merge-options.ts',
    'method.ts',
    'methods',
    'saved',
    '',
    'into-base',
  ],
  runtime: [
    'decode',
    'grammar',
    'scoring.ts',
    'prompt.ts',
    'engine/pool',
    'programs',
    'engine/compose',
    'exact-results.ts',
    'gradients.ts',
    'head.ts',
    'engine',
    'object',
    'model-options.ts',
    'model-parts.ts',
    '',
    'worker',
    'analysis',
  ],
  learn: [
    'kernels',
    'store',
    'tiers',
    'slow',
    'turns',
    'users',
    'export',
    'rewards',
    'updates',
    '',
  ],
  eval: ['metric.ts', 'json.ts', 'metrics', ''],
  route: [
    'router-file.ts',
    'router.ts',
    'calibration',
    'features',
    'heads',
    'training',
    'policy',
    'bandit',
    'arrow',
    'classifier',
    'mixing',
    'preload',
    'routers',
    'log',
    'trials',
    '',
  ],
  server: [
    'request-error.ts',
    'error-response.ts',
    'user-service.ts',
    'expert-choice.ts',
    'service.ts',
    'route.ts',
    'read-text.ts',
    'read-body.ts',
    'learning',
    'local',
    'vllm',
    'api',
    'openapi.ts',
    'keys',
    'usage',
    'state',
    'accounts',
    'limits',
    'metrics',
    'log',
    'origins',
    'health',
    'experts-allowed',
    'routing',
    'registered',
    'trials',
    'operations',
    'capture',
    '',
  ],
  node: [
    'files',
    'rows',
    'models',
    'prepared',
    'grammar',
    'stores',
    'processes',
    'sql',
    'sandbox',
    'metric-table.ts',
    'expert',
    '',
    'manifests',
    'replicas',
    'ray',
    'worker',
    'registry',
    'route',
    'library',
    'jobs',
    'improve',
    'engine',
    'serve',
    'capture',
  ],
  web: ['stores', 'registry', 'sources', 'runtime', '', 'worker'],
  cli: [
    'ui',
    'command.ts',
    'core',
    'shared',
    'home',
    'inspect',
    'convert',
    'data',
    'capture',
    'train',
    'merge',
    'learn',
    'improve',
    'serve',
    'mcp',
    'experts',
    'route',
    'quickstart',
    'bench',
    'commands',
    '',
  ],
}

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

/** The entry of a wing's list that a path below the wing belongs to; undefined when none fits. */
function findRoom(wing: string, path: string, plan: readonly string[]): string | undefined {
  const inside = path.slice(`src/${wing}/`.length)
  const fits = plan.filter((room) =>
    room === '' ? !inside.includes('/') : inside === room || inside.startsWith(`${room}/`),
  )
  return fits.toSorted((a, b) => b.length - a.length)[0]
}

/** A wing's index.ts exports from every room, so it is above them all. */
const isWingEntry = (wing: string, path: string): boolean => path === `src/${wing}/index.ts`

function describeRoom(room: string): string {
  if (room === '') return "the wing's own files"
  return room.endsWith('.ts') ? room : `${room}/`
}

function roomComplaint(
  wing: string,
  plan: readonly string[],
  file: SourceFile,
  target: string,
): string | undefined {
  if (isWingEntry(wing, target)) return `imports ${target}, which is above every room of its wing`
  const from = isWingEntry(wing, file.path) ? undefined : findRoom(wing, file.path, plan)
  const to = findRoom(wing, target, plan)
  if (from === undefined || to === undefined || plan.indexOf(to) <= plan.indexOf(from))
    return undefined
  return `${describeRoom(from)} imports ${target}; in src/${wing} ${describeRoom(to)} is above ${describeRoom(from)} (see rooms in test/support/floors.ts)`
}

/** Inside a wing with a list of rooms an import must lead to a lower room or stay in its own. */
export function roomComplaints(
  files: readonly SourceFile[],
  plans: Record<string, readonly string[]> = rooms,
): string[] {
  return files.flatMap((file) => {
    const wing = folderOf(file.path)
    const plan = plans[wing]
    if (!plan) return []
    if (!isWingEntry(wing, file.path) && findRoom(wing, file.path, plan) === undefined)
      return [`${file.path}:1: its room is missing from rooms.${wing} in test/support/floors.ts`]
    return file.imports.flatMap((item) => {
      const target = resolveImport(file, item)
      if (target === undefined || folderOf(target) !== wing) return []
      const complaint = roomComplaint(wing, plan, file, target)
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
  if (!target.startsWith('src/')) return `imports ${target}, which is outside of src`
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

// Builds dist/: compiled sources, their types, and the files that travel with them (the embedded
// model, its licence). `node scripts/setup.mjs scripts/build.mjs --exports` rewrites package.json's
// exports after a folder got its index.ts, and with --schema the manifest's schema after a kind, an
// optimiser, a schedule, a loss or a metric got another option, and with --kernels the compiled
// kernels/.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exportsOf } from './exports.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const source = join(root, 'src')
const target = join(root, 'dist')

/**
 * Declarations keep the `.ts` of their imports when tsc writes them; consumers have only the `.js`
 * next to them.
 */
function rewriteDeclarations() {
  const relativeImport = /(\bfrom\s+|\bimport\s*\(\s*|\bimport\s+)(['"])(\.{1,2}\/[^'"]*)\.ts\2/g
  for (const path of globSync('**/*.d.ts', { cwd: target })) {
    const file = join(target, path)
    writeFileSync(file, readFileSync(file, 'utf8').replaceAll(relativeImport, '$1$2$3.js$2'))
  }
}

/**
 * Everything under src that is not code: models with their tokenizers and licences, grammars,
 * templates.
 */
function copyAssets() {
  const isAsset = (item) => item.isFile() && !/\.ts$|fixture/.test(item.name)
  const assets = globSync('**/*', { cwd: source, withFileTypes: true }).filter(isAsset)
  for (const item of assets) {
    const from = join(item.parentPath, item.name)
    cpSync(from, join(target, from.slice(source.length + 1)))
  }
  return assets.length
}

async function build() {
  rmSync(target, { recursive: true, force: true })
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  // Comments stay in the declarations, which editors show; the programs are 0.8 MB smaller without.
  const kinds = [
    ['--emitDeclarationOnly'],
    ['--declaration', 'false', '--removeComments', '--noCheck'],
  ]
  for (const project of ['tsconfig.build.json', 'tsconfig.build-web.json'])
    for (const kind of kinds) {
      const args = [compiler, '-p', join(root, 'scripts', project), ...kind]
      const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' })
      if (status !== 0) return status ?? 1
    }
  rewriteDeclarations()
  const assets = copyAssets()
  const command = join(target, 'cli', 'main.js')
  if (existsSync(command)) chmodSync(command, 0o755)
  const { buildStudio } = await import('./build-studio.mjs')
  const studio = await buildStudio()
  console.error(
    `build: Studio, ${studio.files} files of ${(studio.packedBytes / 1e6).toFixed(2)} MB by gzip, ${(studio.bytes / 1e6).toFixed(2)} MB without`,
  )
  console.error(
    `build: ${globSync('**/*.js', { cwd: target }).length} modules and ${assets} other files in dist/`,
  )
  return 0
}

function writeExports() {
  const path = join(root, 'package.json')
  const manifest = JSON.parse(readFileSync(path, 'utf8'))
  const { exports: _, ...rest } = manifest
  const entries = Object.entries(rest)
  entries.splice(
    entries.findIndex(([key]) => key === 'files'),
    0,
    ['exports', exportsOf(root)],
  )
  writeFileSync(path, `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`)
  console.error('build: package.json exports rewritten')
  return 0
}

/** The manifests' schemas for editors, made from the tables that check them. */
async function writeSchema() {
  const { createTrainingJsonSchema } = await import('../src/manifest/training-schema.ts')
  const { collectManifestTables } = await import('../src/node/manifests/manifest-tables.ts')
  const { createExpertJsonSchema } = await import('../src/registry/manifest/expert-manifest.ts')
  const { createRouterJsonSchema } = await import('../src/route/router-file.ts')
  const schemas = {
    'training.schema.json': createTrainingJsonSchema(collectManifestTables()),
    'expert.schema.json': createExpertJsonSchema(),
    'router.schema.json': createRouterJsonSchema(),
  }
  mkdirSync(join(root, 'schemas'), { recursive: true })
  for (const [name, schema] of Object.entries(schemas)) {
    writeFileSync(join(root, 'schemas', name), `${JSON.stringify(schema, null, 1)}\n`)
    console.error(`build: schemas/${name} rewritten`)
  }
  return 0
}

/**
 * The kernels in AssemblyScript as WebAssembly in TypeScript files; the compiler is loaded only
 * here.
 */
async function writeKernels() {
  const { compiledKernels, kernelSources } = await import('./kernels.mjs')
  for (const [written, path] of Object.entries(kernelSources)) {
    const { text, sizes } = await compiledKernels(root, written)
    writeFileSync(join(root, path), text)
    for (const [name, sizeBytes] of Object.entries(sizes))
      console.error(`build: ${name}: ${sizeBytes} bytes`)
    console.error(`build: ${path} rewritten`)
  }
  return 0
}

const tasks = { '--exports': writeExports, '--schema': writeSchema, '--kernels': writeKernels }
const chosen = Object.keys(tasks).find((option) => process.argv.includes(option))
process.exitCode = await (chosen ? tasks[chosen]() : build())

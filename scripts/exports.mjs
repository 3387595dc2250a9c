// The package's subpaths, derived from the folders: one for each src/<folder>/index.ts. Read by the
// build and by the packaging test.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Folders that are no subpath: a program, not a library. */
const notExported = ['cli']
/**
 * Where a platform's folder must not resolve: `null` makes an import fail there, at build time,
 * instead of at run time.
 */
const refusedIn = { node: { browser: null }, web: { node: null } }

/** The script of an engine's worker, for pages whose bundler does not find it. */
const webWorker = {
  './web/worker': {
    types: './dist/web/worker/worker-main.d.ts',
    node: null,
    default: './dist/web/worker/worker-main.js',
  },
}

const entry = (folder) => ({
  types: `./dist/${folder === '.' ? '' : `${folder}/`}index.d.ts`,
  ...refusedIn[folder],
  default: `./dist/${folder === '.' ? '' : `${folder}/`}index.js`,
})

/** What package.json's `exports` has to say for the sources under `root`. */
export function exportsOf(root) {
  const source = join(root, 'src')
  const folders = readdirSync(source, { withFileTypes: true })
    .filter(
      (item) =>
        item.isDirectory() &&
        !notExported.includes(item.name) &&
        existsSync(join(source, item.name, 'index.ts')),
    )
    .map((item) => item.name)
    .sort()
  const main = existsSync(join(source, 'index.ts')) ? { '.': entry('.') } : {}
  return {
    ...main,
    ...Object.fromEntries(folders.map((name) => [`./${name}`, entry(name)])),
    ...(folders.includes('web') && webWorker),
    './package.json': './package.json',
  }
}

// Packs the package as `npm publish` would and installs it into an empty project, with our own
// dependencies linked in, so no network. Knows nothing of what the package exports.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { root } from './sources.ts'

export interface PackedProject {
  /** The empty project; graftlm lies in its node_modules. */
  folder: string
  tarball: Uint8Array<ArrayBuffer>
  /** Path inside the package → bytes. */
  files: Map<string, number>
  /** Runs a program in the project under this Node. */
  run(
    source: string,
    ...nodeOptions: string[]
  ): { status: number | null; stdout: string; stderr: string }
  remove(): void
}

function npm(...args: string[]): void {
  const cli = process.env['npm_execpath']
  const [command, first] = cli?.endsWith('npm-cli.js') ? [process.execPath, [cli]] : ['npm', []]
  execFileSync(command, [...first, ...args], { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] })
}

function filesUnder(folder: string, prefix = ''): [string, number][] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((item) => {
    const path = join(folder, item.name)
    return item.isDirectory()
      ? filesUnder(path, `${prefix}${item.name}/`)
      : [[`${prefix}${item.name}`, statSync(path).size] as [string, number]]
  })
}

/**
 * What npm would install beside the package, linked from our node_modules; `@types/node` for
 * consumers in TypeScript.
 */
function linkDependencies(modules: string): void {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  for (const name of [...Object.keys(dependencies), '@types/node', 'undici-types']) {
    mkdirSync(dirname(join(modules, name)), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), join(modules, name), 'junction')
  }
}

export function packAndInstall(): PackedProject {
  const folder = mkdtempSync(join(tmpdir(), 'graft-packed-'))
  npm('pack', '--pack-destination', folder, '--loglevel', 'error')
  const archive = readdirSync(folder).find((name) => name.endsWith('.tgz'))!
  const modules = join(folder, 'node_modules')
  const installed = join(modules, 'graftlm')
  mkdirSync(installed, { recursive: true })
  execFileSync('tar', ['-xzf', join(folder, archive), '-C', installed, '--strip-components=1'])
  linkDependencies(modules)
  writeFileSync(
    join(folder, 'package.json'),
    '{ "name": "empty", "private": true, "type": "module" }\n',
  )
  return {
    folder,
    tarball: new Uint8Array(readFileSync(join(folder, archive))),
    files: new Map(filesUnder(installed)),
    run: (source, ...nodeOptions) => {
      writeFileSync(join(folder, 'program.js'), source)
      return spawnSync(process.execPath, [...nodeOptions, join(folder, 'program.js')], {
        cwd: folder,
        encoding: 'utf8',
      })
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

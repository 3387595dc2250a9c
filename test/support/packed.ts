// Packs the package as `npm publish` would and installs the packed file with npm into an empty
// project: no .npmrc of ours, npm's own settings. Independent of what the package exports.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  existsSync,
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
import { delimiter, dirname, join } from 'node:path'
import { root } from './sources.ts'

export interface PackedProject {
  /** The empty project; graftlm is in its node_modules. */
  folder: string
  tarball: Uint8Array<ArrayBuffer>
  /** Path inside the package → bytes. */
  files: Map<string, number>
  /**
   * Why npm could not install the package's dependencies: no registry can be reached. They are then
   * links to ours. Undefined: npm installed them.
   */
  unreachable: string | undefined
  /** Runs a program in the project under this Node. */
  run(source: string, ...nodeOptions: string[]): ProcessResult
  /** Runs an installed command by `npx`, with the network switched off for models. */
  npx(...words: string[]): ProcessResult
  remove(): void
}

export interface ProcessResult {
  status: number | null
  stdout: string
  stderr: string
}

const machineSettings =
  /^npm_config_(registry|cafile|cache|userconfig|globalconfig|proxy|https?_proxy|noproxy)$/i

/**
 * The environment of somebody who types `npm` in a shell: without what npm tells the scripts it
 * runs and without what our set-up asks of ONNX Runtime; how this machine reaches a registry stays.
 */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const ours = /^(npm_|ONNXRUNTIME_NODE_INSTALL|NODE_ENV$|NODE_OPTIONS$|VITEST|GRAFT_BACKEND$)/i
  const entries = Object.entries(process.env).filter(
    ([name]) => machineSettings.test(name) || !ours.test(name),
  )
  const environment: NodeJS.ProcessEnv = Object.fromEntries(entries)
  environment['PATH'] = `${dirname(process.execPath)}${delimiter}${environment['PATH'] ?? ''}`
  return environment
}

function npm(cwd: string, ...args: string[]): ProcessResult {
  const cli = process.env['npm_execpath']
  const [command, first] = cli?.endsWith('npm-cli.js') ? [process.execPath, [cli]] : ['npm', []]
  return spawnSync(command, [...first, ...args], {
    cwd,
    encoding: 'utf8',
    env: cleanEnvironment(),
    maxBuffer: 64 << 20,
  })
}

function throwUnlessDone(what: string, { status, stdout, stderr }: ProcessResult): void {
  if (status !== 0) throw new Error(`${what} ended with ${status}:\n${stdout}${stderr}`)
}

function filesUnder(folder: string, prefix = ''): [string, number][] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((item) => {
    const path = join(folder, item.name)
    return item.isDirectory()
      ? filesUnder(path, `${prefix}${item.name}/`)
      : [[`${prefix}${item.name}`, statSync(path).size] as [string, number]]
  })
}

/** Packages of ours, as links. */
function linkPackages(modules: string, names: readonly string[]): void {
  for (const name of names) {
    mkdirSync(dirname(join(modules, name)), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), join(modules, name), 'junction')
  }
}

const registryProblem =
  /network (request|connectivity)|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOTCACHED/

/** Installs the packed file; where no registry can be reached, by hand. Returns the reason. */
function install(folder: string, archive: string): string | undefined {
  const result = npm(folder, 'install', `./${archive}`, '--prefer-offline')
  if (result.status === 0) return undefined
  const reason = result.stderr.split('\n').find((line) => registryProblem.test(line))
  // A script that downloads from elsewhere is the package's own failure.
  if (reason === undefined || /command failed/.test(result.stderr))
    throwUnlessDone('npm install', result)
  const installed = join(folder, 'node_modules', 'graftlm')
  mkdirSync(installed, { recursive: true })
  execFileSync('tar', ['-xzf', join(folder, archive), '-C', installed, '--strip-components=1'])
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  linkPackages(join(folder, 'node_modules'), Object.keys(dependencies))
  return reason
}

export function packAndInstall(): PackedProject {
  const folder = mkdtempSync(join(tmpdir(), 'graft-packed-'))
  throwUnlessDone(
    'npm pack',
    npm(root, 'pack', '--pack-destination', folder, '--loglevel', 'error'),
  )
  const archive = readdirSync(folder).find((name) => name.endsWith('.tgz'))!
  writeFileSync(
    join(folder, 'package.json'),
    '{ "name": "empty", "private": true, "type": "module" }\n',
  )
  const unreachable = install(folder, archive)
  const modules = join(folder, 'node_modules')
  // for consumers in TypeScript
  linkPackages(
    modules,
    ['@types/node', 'undici-types'].filter((name) => !existsSync(join(modules, name))),
  )
  return {
    folder,
    tarball: new Uint8Array(readFileSync(join(folder, archive))),
    files: new Map(filesUnder(join(modules, 'graftlm'))),
    unreachable,
    run: (source, ...nodeOptions) => {
      writeFileSync(join(folder, 'program.js'), source)
      return spawnSync(process.execPath, [...nodeOptions, join(folder, 'program.js')], {
        cwd: folder,
        encoding: 'utf8',
        env: cleanEnvironment(),
      })
    },
    npx: (...words) => {
      const environment = cleanEnvironment()
      environment['GRAFT_CACHE'] = join(folder, 'cache')
      environment['GRAFT_OFFLINE'] = '1'
      return spawnSync('npx', ['--offline', ...words], {
        cwd: folder,
        encoding: 'utf8',
        env: environment,
        shell: process.platform === 'win32',
      })
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

// Makes a fresh clone ready, then hands over to the pinned Node 24: `node scripts/setup.mjs
// <script> [arguments...]`. Node 20 built-ins only, because it runs before anything is installed.
// Independent of the program that it starts.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, 'node_modules')
const stampPath = join(modules, '.graft-setup')
const windows = process.platform === 'win32'
const pinnedNode = join(modules, 'node', 'bin', windows ? 'node.exe' : 'node')
/** What the sources need: type stripping without a flag, Float16Array, node:sqlite. */
const neededMajor = 24

const readIfThere = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : '')
const majorOf = (version) => Number(/^v?(\d+)\./.exec(version)?.[1] ?? 0)
const say = (line) => process.stderr.write(`setup: ${line}\n`)

class SetupError extends Error {}

/** Runs npm and returns its exit status and everything it printed. */
function npm(args, cwd = root) {
  // npm passes its own path to the scripts it runs; outside of npm, the one on the PATH is used.
  const cli = process.env['npm_execpath']?.endsWith('npm-cli.js')
    ? process.env['npm_execpath']
    : undefined
  const [command, first] = cli ? [process.execPath, [cli]] : ['npm', []]
  const result = spawnSync(command, [...first, ...args], {
    cwd,
    encoding: 'utf8',
    shell: windows && !cli,
    maxBuffer: 64 << 20,
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip', NODE_ENV: 'development' },
  })
  if (result.error)
    throw new SetupError(
      `npm could not be started (${result.error.message}). Install npm 10 or newer and try again.`,
    )
  return { status: result.status ?? 1, output: `${result.stdout}${result.stderr}` }
}

/** Optional for users, whose npm may leave it out; the tests need it where there is one. */
const neededOptional = 'node_modules/onnxruntime-node'

/**
 * Whether the installed packages match the lock file; packages for other platforms may be missing.
 */
function installedAsLocked(lockText) {
  const hidden = readIfThere(join(modules, '.package-lock.json'))
  if (!hidden) return false
  const installed = JSON.parse(hidden).packages
  return Object.entries(JSON.parse(lockText).packages).every(([path, locked]) => {
    if (path === '' || locked.link) return true
    const found = installed[path]
    if (!found) return Boolean(locked.optional || locked.peer) && path !== neededOptional
    return found.version === locked.version && existsSync(join(root, path, 'package.json'))
  })
}

function install() {
  say('installing the packages that package-lock.json names (once, about half a minute) ...')
  // No package of ours needs its install script but `node`, which placeNode() looks after whatever
  // npm's settings allow.
  const args = [
    'ci',
    '--ignore-scripts',
    '--include=dev',
    '--prefer-offline',
    '--no-audit',
    '--no-fund',
  ]
  const { status, output } = npm(args)
  if (status === 0) return
  const shown = output
    .split('\n')
    .filter((line) => line.startsWith('npm error') && line.trim() !== 'npm error')
  const reasons = (shown.length ? shown : output.trim().split('\n')).slice(0, 20).join('\n')
  throw new SetupError(
    `npm ci ended with ${status}:\n${reasons}\nA package registry must be within reach once; then run the same command again.`,
  )
}

const runs = (path) => {
  const { status, stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' })
  return status === 0 && majorOf(stdout.trim()) >= neededMajor
}

/**
 * The pinned Node: the package `node` fetches its binary in an install script, which npm may be
 * configured not to run.
 */
function placeNode() {
  if (existsSync(pinnedNode) && runs(pinnedNode)) return linkNode()
  const folder = join(modules, 'node')
  if (!existsSync(folder))
    throw new SetupError(
      'package-lock.json names no package `node`, which brings the pinned Node 24.',
    )
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  say(`fetching Node ${version} for this project (once) ...`)
  // npm ci removes node_modules, and with it this very Node where it came from there.
  const node = existsSync(process.execPath) ? process.execPath : 'node'
  const script = spawnSync(node, ['installArchSpecificPackage.js'], {
    cwd: folder,
    encoding: 'utf8',
    env: {
      ...process.env,
      npm_config_ignore_scripts: 'true',
      npm_config_audit: 'false',
      npm_config_fund: 'false',
    },
  })
  if (existsSync(pinnedNode) && runs(pinnedNode)) return linkNode()
  if (majorOf(process.version) >= neededMajor)
    return say(
      `Node ${version} could not be fetched; continuing with this Node ${process.version}.`,
    )
  const last = `${script.stdout}${script.stderr}`.trim().split('\n').slice(-15).join('\n')
  throw new SetupError(
    `Node ${version} could not be fetched, and this Node (${process.version}) is too old: ${neededMajor} or newer is needed. What was printed:\n${last}`,
  )
}

/**
 * `node_modules/.bin/node`, which npm leaves out when the binary arrives after it linked the
 * commands.
 */
function linkNode() {
  const link = join(modules, '.bin', 'node')
  if (windows || existsSync(link)) return
  rmSync(link, { force: true })
  symlinkSync(join('..', 'node', 'bin', 'node'), link)
}

/**
 * Brings node_modules in line with the lock; does nothing if the stamp shows that this was done for
 * this lock.
 */
function prepare() {
  const lockText = readFileSync(join(root, 'package-lock.json'), 'utf8')
  const stamp = `${createHash('sha256').update(lockText).digest('hex')} ${process.platform} ${process.arch}\n`
  if (
    readIfThere(stampPath) === stamp &&
    (existsSync(pinnedNode) || majorOf(process.version) >= neededMajor)
  )
    return
  rmSync(stampPath, { force: true }) // an interrupted set-up must not look like a finished one
  if (!installedAsLocked(lockText)) install()
  placeNode()
  writeFileSync(stampPath, stamp)
}

/** Runs the script under the chosen Node; its exit code or signal becomes ours. */
function handOver(script, args) {
  const node = existsSync(pinnedNode) ? pinnedNode : process.execPath
  const env = { NODE_COMPILE_CACHE: join(modules, '.cache', 'graft-code'), ...process.env }
  const child = spawn(node, [script, ...args], { stdio: 'inherit', env })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    // A terminal sends SIGINT and SIGHUP to the whole group, so the child has it already.
    process.on(signal, () =>
      process.stdin.isTTY && signal !== 'SIGTERM' ? undefined : child.kill(signal),
    )
  }
  child.on('error', (error) =>
    fail(`${node} could not be started: ${error.message}. Remove node_modules and try again.`),
  )
  child.on('exit', (code, signal) =>
    process.exit(signal ? 128 + constants.signals[signal] : (code ?? 1)),
  )
}

function fail(message) {
  say(message)
  process.exit(1)
}

const [script, ...args] = process.argv.slice(2)
if (majorOf(process.version) < 20)
  fail(`this Node is ${process.version}; 20 or newer is needed to set the project up.`)
if (script === undefined) fail('usage: node scripts/setup.mjs <script> [arguments...]')
try {
  prepare()
  handOver(script, args)
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  fail(error.message)
}

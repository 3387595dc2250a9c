// What check.mjs and check-long.mjs share: a tool run under this Node, a run of vitest over some
// files with its counts, and the table at the end. Knows neither stages nor parts.
import { spawn } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
const scratch = mkdtempSync(join(tmpdir(), 'graft-check-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))

/** Every test file, long ones included, from the root. */
export const allTestFiles = globSync(
  ['src/**/*.test.ts', 'bench/**/*.test.ts', 'test/**/*.test.ts'],
  { cwd: root, exclude: (path) => path.includes('node_modules') },
)
  .map((path) => path.replaceAll('\\', '/'))
  .sort()

/**
 * Runs a tool under this Node with its output passed through; gives its exit code, or 1 when it had
 * to be stopped. A test that loops without end cannot be stopped from within.
 */
export function runTool(path, args, { environment = {}, minutes = 25, modules = root } = {}) {
  return new Promise((done) => {
    const child = spawn(process.execPath, [join(modules, 'node_modules', path), ...args], {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, ...environment },
    })
    const timer = setTimeout(() => {
      console.error(`check: stopped after ${minutes} minutes`)
      child.kill('SIGKILL')
    }, minutes * 60_000)
    child.on('exit', (code) => {
      clearTimeout(timer)
      done(code ?? 1)
    })
  })
}

/** Runs vitest over files, each in a separate process unless `isolate` is false. */
export async function runTests(
  files,
  { timeoutMs = 60_000, environment = {}, minutes, isolate = true } = {},
) {
  if (files.length === 0) return { passed: 0, failed: 0, skipped: [], failures: [] }
  const reportPath = join(scratch, 'report.json')
  rmSync(reportPath, { force: true })
  const reporters = [
    '--reporter=default',
    `--reporter=${join(root, 'scripts', 'vitest-report.mjs')}`,
  ]
  const limits = [`--testTimeout=${timeoutMs}`, `--hookTimeout=${timeoutMs}`]
  const args = ['run', ...reporters, ...limits, ...(isolate ? [] : ['--no-isolate']), ...files]
  const code = await runTool('vitest/vitest.mjs', args, {
    environment: { GRAFT_REPORT: reportPath, ...environment },
    minutes,
  })
  const report = existsSync(reportPath) ? JSON.parse(readFileSync(reportPath, 'utf8')) : undefined
  const result = report ?? {
    passed: 0,
    failed: 1,
    skipped: [],
    failures: [`vitest ended with ${code} and without a report`],
  }
  if (code !== 0 && result.failed === 0)
    return { ...result, failed: 1, failures: [`vitest ended with ${code}`] }
  return result
}

/**
 * The packages of a folder that has its own lock file ('test/clients', 'site'), so that starting
 * the project stays quick. Gives a failure, or undefined.
 */
export async function installTools(name) {
  const folder = join(root, name)
  const [locked, installed] = ['package-lock.json', 'node_modules/.package-lock.json'].map((file) =>
    join(folder, file),
  )
  const isCurrent = existsSync(installed) && statSync(installed).mtimeMs > statSync(locked).mtimeMs
  if (isCurrent) return undefined
  const code = await runNpm(['ci', '--ignore-scripts', '--no-audit', '--no-fund'], folder)
  if (code === 0) return undefined
  const failures = [`npm ci in ${folder} ended with ${code}`]
  return { passed: 0, failed: 1, skipped: [], failures }
}

function runNpm(args, cwd) {
  const npm = process.env['npm_execpath']
  const [command, first] = npm ? [process.execPath, [npm]] : ['npm', []]
  return new Promise((done) => {
    const child = spawn(command, [...first, ...args], { cwd, stdio: 'inherit' })
    child.on('error', () => done(1))
    child.on('exit', (code) => done(code ?? 1))
  })
}

/** Runs one named piece of work; its result with the name and the seconds. */
export async function runNamed(name, run) {
  console.log(`\n── ${name} ──`)
  const start = performance.now()
  const result = judgeSkips(await run())
  return { name, seconds: (performance.now() - start) / 1000, ...result }
}

/**
 * A skip without a reason counts as a failure: it cannot be distinguished from a forgotten test.
 */
function judgeSkips(result) {
  const bare = result.skipped.filter(({ reason }) => reason === '')
  const failures = bare.map(
    ({ name }) =>
      `${name}: skipped without a reason; call skip('reason') in the test or put [skip: reason] in its name`,
  )
  return {
    ...result,
    failed: result.failed + bare.length,
    failures: [...result.failures, ...failures],
    skipped: result.skipped.filter(({ reason }) => reason !== ''),
  }
}

/** Prints a table, the failures and the skips with their reasons; gives how many failed. */
export function printSummary(results, kind = 'stage') {
  const row = (...cells) =>
    cells.map((cell, i) => (i === 0 ? String(cell).padEnd(12) : String(cell).padStart(9))).join('')
  console.log(`\n${row(kind, 'passed', 'failed', 'skipped', 'seconds')}`)
  for (const r of results)
    console.log(row(r.name, r.passed, r.failed, r.skipped.length, r.seconds.toFixed(1)))
  const sum = (pick) => results.reduce((total, result) => total + pick(result), 0)
  const [passed, failed, skipped] = [
    sum((r) => r.passed),
    sum((r) => r.failed),
    sum((r) => r.skipped.length),
  ]
  console.log(row('all', passed, failed, skipped, sum((r) => r.seconds).toFixed(1)))
  const failures = results.flatMap((r) => r.failures.map((failure) => `  ${r.name}: ${failure}`))
  if (failures.length > 0) console.log(`\nfailed:\n${failures.join('\n')}`)
  const skips = results.flatMap((r) => r.skipped.map(({ name, reason }) => `  ${name}: ${reason}`))
  if (skips.length > 0) console.log(`\nskipped:\n${skips.join('\n')}`)
  console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`)
  return failed
}

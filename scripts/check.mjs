// Every check of the project, one stage after another: `node scripts/setup.mjs scripts/check.mjs
// [--long] [stage...]`. Prints what each stage says, then a table, the skips with their reasons,
// and last `N passed, N failed, N skipped`.
import { spawn } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const tool = (path) => join(root, 'node_modules', path)
const scratch = mkdtempSync(join(tmpdir(), 'graft-check-'))
const wanted = process.argv.slice(2).filter((argument) => argument !== '--long')
const long = process.argv.includes('--long')
/** A test that loops without end cannot be stopped from within; its stage is. */
const stageTimeoutMs = (long ? 60 : 25) * 60_000

/**
 * Runs a tool under this Node with its output passed through; gives its exit code, or 1 when it had
 * to be stopped.
 */
function runTool(path, args, environment = {}) {
  return new Promise((done) => {
    const child = spawn(process.execPath, [tool(path), ...args], {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, ...environment },
    })
    const timer = setTimeout(() => {
      console.error(`check: stopped after ${stageTimeoutMs / 60_000} minutes`)
      child.kill('SIGKILL')
    }, stageTimeoutMs)
    child.on('exit', (code) => {
      clearTimeout(timer)
      done(code ?? 1)
    })
  })
}

/** One check that either passes or not: all of its tool runs end with 0. */
const plain =
  (path, ...runs) =>
  async () => {
    const failures = []
    for (const args of runs)
      if ((await runTool(path, args)) !== 0)
        failures.push(`${path.split('/')[0]} ${args.join(' ')}`)
    return { passed: runs.length - failures.length, failed: failures.length, skipped: [], failures }
  }

const testFiles = globSync(['src/**/*.test.ts', 'bench/**/*.test.ts', 'test/**/*.test.ts'], {
  cwd: root,
  exclude: (path) => path.includes('node_modules'),
})
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => long || !path.endsWith('.long.test.ts'))
  .sort()

/** A stage of vitest over the files that `belongs` chooses. */
const tests =
  (belongs, timeoutMs = 60_000) =>
  async () => {
    const files = testFiles.filter(belongs)
    if (files.length === 0) return { passed: 0, failed: 0, skipped: [], failures: [] }
    const reportPath = join(scratch, 'report.json')
    rmSync(reportPath, { force: true })
    const reporters = [
      '--reporter=default',
      `--reporter=${join(root, 'scripts', 'vitest-report.mjs')}`,
    ]
    const limits = [`--testTimeout=${timeoutMs}`, `--hookTimeout=${timeoutMs}`]
    const environment = { GRAFT_REPORT: reportPath, GRAFT_LONG: long ? '1' : '' }
    const code = await runTool(
      'vitest/vitest.mjs',
      ['run', ...reporters, ...limits, ...files],
      environment,
    )
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

const houseFiles = ['test/floors.test.ts', 'test/house.test.ts', 'test/pages.test.ts']
const packagingFile = 'test/packaging.test.ts'
const isParity = (path) => path.startsWith('test/') && path.includes('parity')
const isBrowser = (path) => path.startsWith('test/browser/')
const isClient = (path) => path.startsWith('test/clients/')
const isEndToEnd = (path) =>
  path.startsWith('test/') &&
  !isClient(path) &&
  !isParity(path) &&
  !isBrowser(path) &&
  !houseFiles.includes(path) &&
  path !== packagingFile

/** The clients have a lock file of their own, so that starting the project stays quick. */
const clients = async () => {
  const folder = join(root, 'test', 'clients')
  const [locked, installed] = ['package-lock.json', 'node_modules/.package-lock.json'].map((name) =>
    join(folder, name),
  )
  const isCurrent = existsSync(installed) && statSync(installed).mtimeMs > statSync(locked).mtimeMs
  const code = isCurrent
    ? 0
    : await runNpm(['ci', '--ignore-scripts', '--no-audit', '--no-fund'], folder)
  if (code !== 0)
    return {
      passed: 0,
      failed: 1,
      skipped: [],
      failures: [`npm ci in ${folder} ended with ${code}`],
    }
  return tests(isClient, 300_000)()
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

/**
 * In this order: what is cheap and often wrong first. Every test file belongs to exactly one stage.
 */
const stages = {
  format: plain('prettier/bin/prettier.cjs', ['--check', '--log-level', 'warn', '.']),
  lint: plain('oxlint/bin/oxlint', ['--deny-warnings']),
  types: plain(
    'typescript/bin/tsc',
    ...['tsconfig.core.json', 'tsconfig.json', 'tsconfig.web.json', 'test/browser'].map((path) => [
      '-p',
      path,
    ]),
  ),
  house: tests((path) => houseFiles.includes(path)),
  unit: tests((path) => !path.startsWith('test/')),
  parity: tests(isParity),
  'end-to-end': tests(isEndToEnd, 300_000),
  clients,
  browser: tests(isBrowser, 300_000),
  packaging: tests((path) => path === packagingFile, 300_000),
}

async function runStage(name) {
  console.log(`\n── ${name} ──`)
  const start = performance.now()
  const result = await stages[name]()
  return { name, seconds: (performance.now() - start) / 1000, ...result }
}

/**
 * A skip without a reason counts as a failure: nobody could tell it from a test that was forgotten.
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

function printSummary(results) {
  const row = (...cells) =>
    cells.map((cell, i) => (i === 0 ? String(cell).padEnd(12) : String(cell).padStart(9))).join('')
  console.log(`\n${row('stage', 'passed', 'failed', 'skipped', 'seconds')}`)
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

async function main() {
  const unknown = wanted.filter((name) => !(name in stages))
  if (unknown.length > 0) {
    console.error(
      `check: no stage named ${unknown.join(', ')}; there are: ${Object.keys(stages).join(', ')}`,
    )
    return 2
  }
  const results = []
  for (const name of wanted.length > 0 ? wanted : Object.keys(stages))
    results.push(judgeSkips(await runStage(name)))
  return printSummary(results) === 0 ? 0 : 1
}

try {
  process.exitCode = await main()
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

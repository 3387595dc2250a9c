// Every check of the project, one stage after another: `node scripts/setup.mjs scripts/check.mjs
// [stage...]`. Prints the output of each stage, then a table, the skips with their reasons, and
// last `N passed, N failed, N skipped`.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  allTestFiles,
  installTools,
  printSummary,
  root,
  runNamed,
  runTests,
  runTool,
} from './test-runs.mjs'

/** One check that either passes or not: all of its tool runs, two at a time, end with 0. */
const plain =
  (path, ...runs) =>
  async () => {
    const failures = []
    const waiting = [...runs]
    const work = async () => {
      for (let args = waiting.shift(); args; args = waiting.shift())
        if ((await runTool(path, args)) !== 0)
          failures.push(`${path.split('/')[0]} ${args.join(' ')}`)
    }
    await Promise.all([work(), work()])
    return { passed: runs.length - failures.length, failed: failures.length, skipped: [], failures }
  }

const testFiles = allTestFiles.filter((path) => !path.endsWith('.long.test.ts'))

/** A stage of vitest over the files that `belongs` chooses. */
const tests = (belongs, timeoutMs) => () => runTests(testFiles.filter(belongs), { timeoutMs })

/** Files that change what others in their process would see: they get a process each. */
const needsOwnProcess = (path) =>
  /vi\.(mock|stub)|process\.chdir/.test(readFileSync(join(root, path), 'utf8'))

/**
 * Unit tests share two processes, because to load the sources anew for each file takes longer than
 * most tests.
 */
async function runUnitTests() {
  const files = testFiles.filter((path) => !path.startsWith('test/'))
  const together = await runTests(
    files.filter((path) => !needsOwnProcess(path)),
    { isolate: false },
  )
  const apart = await runTests(files.filter(needsOwnProcess))
  return {
    passed: together.passed + apart.passed,
    failed: together.failed + apart.failed,
    skipped: [...together.skipped, ...apart.skipped],
    failures: [...together.failures, ...apart.failures],
  }
}

const houseFiles = ['test/floors.test.ts', 'test/house.test.ts', 'test/pages.test.ts']
const packagingFile = 'test/packaging.test.ts'
const siteFile = 'test/site.test.ts'
const isParity = (path) => path.startsWith('test/') && path.includes('parity')
const isBrowser = (path) => path.startsWith('test/browser/')
const isClient = (path) => path.startsWith('test/clients/')
const isEndToEnd = (path) =>
  path.startsWith('test/') &&
  !isClient(path) &&
  !isParity(path) &&
  !isBrowser(path) &&
  !houseFiles.includes(path) &&
  path !== packagingFile &&
  path !== siteFile

/**
 * In this order: what is cheap and often wrong first. Every test file that is not long belongs to
 * exactly one stage; the long ones are in long-parts.mjs.
 */
const stages = {
  format: plain(
    'prettier/bin/prettier.cjs',
    ['--check', '--log-level', 'warn', 'src'],
    ['--check', '--log-level', 'warn', '.', '!src'],
  ),
  lint: plain('oxlint/bin/oxlint', ['--deny-warnings']),
  types: plain(
    'typescript/bin/tsc',
    ...['tsconfig.core.json', 'tsconfig.json', 'tsconfig.web.json', 'test/browser'].map((path) => [
      '-p',
      path,
    ]),
  ),
  house: tests((path) => houseFiles.includes(path)),
  unit: runUnitTests,
  parity: tests(isParity),
  'end-to-end': tests(isEndToEnd, 300_000),
  clients: async () => (await installTools('test/clients')) ?? tests(isClient, 300_000)(),
  browser: async () => (await installTools('test/browser')) ?? tests(isBrowser, 300_000)(),
  site: tests((path) => path === siteFile, 300_000),
  packaging: tests((path) => path === packagingFile, 300_000),
}

async function main(wanted) {
  const unknown = wanted.filter((name) => !(name in stages))
  if (unknown.length > 0) {
    console.error(
      `check: no stage named ${unknown.join(', ')}; there are: ${Object.keys(stages).join(', ')}`,
    )
    return 2
  }
  const results = []
  for (const name of wanted.length > 0 ? wanted : Object.keys(stages))
    results.push(await runNamed(name, stages[name]))
  return printSummary(results) === 0 ? 0 : 1
}

process.exitCode = await main(process.argv.slice(2))

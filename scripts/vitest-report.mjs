// A vitest reporter that writes the counts of a run, and each skip with its reason, as JSON to the
// file GRAFT_REPORT names. Printing is left to vitest's own reporter.
import { writeFileSync } from 'node:fs'

/**
 * The reason of a skipped test: `skip('reason')` inside it, or `[skip: reason]` in its name or the
 * name of a suite around it.
 */
const reasonOf = (test) => test.result().note ?? /\[skip: (.+?)\]/.exec(test.fullName)?.[1] ?? ''

export default class Report {
  onTestRunEnd(modules, unhandledErrors) {
    const report = { passed: 0, failed: unhandledErrors.length, skipped: [], failures: [] }
    for (const module of modules) {
      if (module.errors().length > 0) {
        report.failed++
        report.failures.push(`${module.relativeModuleId}: does not load`)
      }
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        const name = `${module.relativeModuleId} > ${test.fullName}`
        if (state === 'passed') report.passed++
        else if (state === 'failed') report.failures.push(name)
        else report.skipped.push({ name, reason: reasonOf(test) })
        if (state === 'failed') report.failed++
      }
    }
    writeFileSync(process.env['GRAFT_REPORT'], JSON.stringify(report))
  }
}

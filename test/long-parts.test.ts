// Every long test belongs to one part of `npm run test:long`, and each part is short enough.

import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { longestMinutes, longParts } from '../scripts/long-parts.mjs'
import { root } from './support/sources.ts'

const run = (...args: string[]): Promise<{ code: number; output: string }> =>
  new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(root, 'scripts', 'check-long.mjs'), ...args],
      (_, stdout, stderr) => resolve({ code: child.exitCode ?? -1, output: stdout + stderr }),
    )
  })

describe('npm run test:long', () => {
  it('has every long test in exactly one part', () => {
    const files = globSync('{src,test,bench}/**/*.long.test.ts', {
      cwd: root,
      exclude: (path) => path.includes('node_modules'),
    })
    const listed = Object.values(longParts).flatMap((part) => part.files)
    expect(listed.toSorted()).toEqual(files.toSorted())
  })

  it('has parts of at most 40 minutes, and lists them with their times', async () => {
    const { code, output } = await run('--list')
    expect(code).toBe(0)
    for (const [name, { minutes }] of Object.entries(longParts)) {
      expect(minutes, name).toBeLessThanOrEqual(longestMinutes)
      expect(output).toMatch(new RegExp(`^${name} +${minutes} min`, 'm'))
    }
  })

  it.each([
    [['--only', 'nothing'], 'no part named nothing; there are: inputs, engine'],
    [['inputs'], 'parts are named with --only inputs'],
    [['--only', 'inputs', '--requests', '5'], '--requests changes nothing in the parts inputs'],
    [['--only', 'requests', '--requests', 'many'], 'got "many", expected a number above 0'],
    [['--request', '5'], "Unknown option '--request'"],
  ])('refuses %j', async (args, words) => {
    const { code, output } = await run(...args)
    expect([code, output]).toEqual([2, expect.stringContaining(words)])
  })
})

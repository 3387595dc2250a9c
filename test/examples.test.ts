// The programs under examples/ run as they stand, and show what their pages promise.
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { root } from './support/sources.ts'

/** Seconds are the processor's: what else the machine does meanwhile is not the example's. */
const run = (path: string) => {
  const meter = "process.on('exit', () => { const { user, system } = process.cpuUsage(); console.log('seconds', (user + system) / 1e6) })"
  const args = [`--import=data:text/javascript,${encodeURIComponent(meter)}`, path]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
  return { status, stdout, stderr, seconds: Number(/^seconds ([\d.]+)$/m.exec(stdout)?.[1] ?? NaN) }
}

describe('examples', () => {
  it.each(globSync('examples/*.ts', { cwd: root }))('%s runs', (path) => {
    const { status, stderr } = run(path)
    expect([status, stderr]).toEqual([0, ''])
  })
  it('users keeps a thousand apart with few in memory, tells the later of two writers, and restores', () => {
    const lines = run('examples/users.ts').stdout.trim().split('\n')
    const most = Number(/^1000 users taught, at most (\d+) in memory/.exec(lines[0]!)![1])
    expect(most).toBeGreaterThan(4)
    expect(most).toBeLessThan(40)
    const [error, untaught] = /error of twenty of them ([\d.]+), untaught ([\d.]+)/.exec(lines[1]!)!.slice(1).map(Number) as [
      number,
      number,
    ]
    expect(error).toBeLessThan(0.1 * untaught)
    expect(lines.slice(2, 6).map((line) => line.replace(/\d+ bytes/, ''))).toEqual(['told: somebody else wrote user 7', 'checkpoint 1: int8, whole, ', 'checkpoint 2: f32, whole, ', 'restored; now there are 3']) // prettier-ignore
  })
  it('task-specific-adapters takes less than 5 seconds and says what each step cost', () => {
    const { stdout, seconds } = run('examples/task-specific-adapters.ts')
    expect(seconds).toBeLessThan(5)
    const lines = stdout.trim().split('\n')
    expect(lines[0]).toMatch(/^step +ms +result$/)
    const steps = ['create', '1,000 examples', 'split', 'train quick', 'forward', 'train another', 'merge 0.7 / 0.3', 'swap', 'roll back', 'save', 'load', 'adapt, 5 steps', 'swap in'] // prettier-ignore
    for (const step of steps) expect(lines.find((line) => line.startsWith(`${step} `))).toMatch(/ \d+\.\d {2}\S/)
    const [error, untrained] = /error ([\d.]+), without the adapter ([\d.]+)/.exec(stdout)!.slice(1).map(Number) as [number, number]
    expect(error).toBeLessThan(0.4 * untrained)
    const [adapted, before] = /error on new work ([\d.]+), before ([\d.]+)/.exec(stdout)!.slice(1).map(Number) as [number, number]
    expect(adapted).toBeLessThan(0.8 * before)
  })
})

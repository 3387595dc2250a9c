// The programs under examples/ run unchanged, and print what their pages promise.
import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { scratchFolder } from './support/cli.ts'
import { root } from './support/sources.ts'

/** Examples may write into the folder they run in. */
const scratch = scratchFolder()
afterAll(() => scratch.remove())

/** Seconds are the processor's: what else the machine does meanwhile is not the example's. */
const ended = new Map<string, ReturnType<typeof start>>()
const start = (path: string) => {
  const meter =
    "process.on('exit', () => { const { user, system } = process.cpuUsage(); console.log('seconds', (user + system) / 1e6) })"
  const args = [`--import=data:text/javascript,${encodeURIComponent(meter)}`, join(root, path)]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: scratch.path,
    encoding: 'utf8',
  })
  return { status, stdout, stderr, seconds: Number(/^seconds ([\d.]+)$/m.exec(stdout)?.[1] ?? NaN) }
}
/** Each runs once. */
const run = (path: string) => ended.get(path) ?? ended.set(path, start(path)).get(path)!

describe('examples', () => {
  it('have at most 60 lines each', () => {
    const programs = globSync('examples/{,clients/,micro/}*.{ts,mjs}', { cwd: root })
    const isLong = (path: string): boolean =>
      readFileSync(join(root, path), 'utf8').trimEnd().split('\n').length > 60
    expect(programs.length).toBeGreaterThan(15)
    expect(programs.filter(isLong)).toEqual([])
  })
  it.each(globSync('examples/*.ts', { cwd: root }))('%s runs', (path) => {
    const { status, stderr } = run(path)
    expect([status, stderr]).toEqual([0, ''])
  })
  it('first-expert answers with the adapter, without it, and with it again', () => {
    const { stdout } = run('examples/first-expert.ts')
    const [expert, base, again] = stdout.split('\n')
    expect(expert).toMatch(/^expert: +Tom saw a cat$/)
    expect(base).toMatch(/^base: +(?!Tom saw a cat)/)
    expect(again).toBe(expert)
  })
  it('agents: a coder drafts, two others judge, past results and consensus are shown', () => {
    const { stdout } = run('examples/agents.ts')
    const lines = stdout.trim().split('\n')
    expect(lines.slice(0, 3)).toEqual([
      'coder: Tom saw a cat.',
      'reviewer: It is good.',
      'security: It is safe.',
    ])
    expect(lines[3]).toMatch(/^coder is expected to score 1.00/)
    const scores = new Map(lines.slice(4, 9).map((line) => line.split(' ') as [string, string]))
    expect([...scores.keys()]).toEqual(['a', 'b', 'c', 'merged', 'vote'])
    expect(Number(scores.get('vote'))).toBeGreaterThan(0.5)
  })
  it('users keeps a thousand apart with few in memory', () => {
    const lines = run('examples/users.ts').stdout.trim().split('\n')
    const most = Number(/^1000 users taught, at most (\d+) in memory/.exec(lines[0]!)![1])
    expect(most).toBeGreaterThan(4)
    expect(most).toBeLessThan(40)
    const [error, untaught] = /error of twenty of them ([\d.]+), untaught ([\d.]+)/
      .exec(lines[1]!)!
      .slice(1)
      .map(Number) as [number, number]
    expect(error).toBeLessThan(0.1 * untaught)
  })
  it('user-history tells the later of two writers, and restores', () => {
    const lines = run('examples/user-history.ts').stdout.trim().split('\n')
    expect(lines.slice(0, 4).map((line) => line.replace(/\d+ bytes/, ''))).toEqual([
      'told: somebody else wrote user 7',
      'checkpoint 1: f32, whole, ',
      'checkpoint 2: f32, whole, ',
      'restored; now there are 3',
    ])
  })
  it('thumbs-chat: ada gets what she likes, on openings she never saw too, and eve gets what she always got', () => {
    const { stdout, seconds } = run('examples/thumbs-chat.ts')
    expect(seconds).toBeLessThan(10)
    const shares = (name: string): [number, number] => {
      const [before, after] = new RegExp(`^${name} +(\\d+) % +(\\d+) %$`, 'm')
        .exec(stdout)!
        .slice(1)
        .map(Number)
      return [before!, after!]
    }
    for (const name of ['openings she judged', 'openings she never saw']) {
      const [before, after] = shares(name)
      expect(before).toBeLessThan(40)
      expect(after).toBeGreaterThan(80)
    }
    const [before, after] = shares('the same, answers for eve')
    expect(after).toBe(before)
    const [up, down] = /(\d+) up, (\d+) down/.exec(stdout)!.slice(1).map(Number)
    expect(up! + down!).toBe(48)
  })
  it('domain-adaptation learns JSON, keeps the stories, and hands both to the slow tier', () => {
    const { stdout, seconds } = run('examples/domain-adaptation.ts')
    expect(seconds).toBeLessThan(20)
    const rows = [...stdout.matchAll(/^(.*\S) +(\d\.\d\d) +(\d\.\d\d)$/gm)].map(
      ([, name, a, b]) => [name!, Number(a), Number(b)] as const,
    )
    expect(rows.map(([name]) => name)).toEqual([
      'frozen model',
      'learning from each turn',
      'frozen model',
      'fast tier and memory',
      'slow tier alone',
    ])
    const [frozen, learning, untaught, tiers, slow] = rows.map(([, a, b]) => [a, b] as const)
    expect(learning![1]).toBeLessThan(0.3 * frozen![1])
    expect(learning![1]).toBeLessThan(learning![0])
    expect(tiers![0]).toBeLessThan(0.3 * untaught![0])
    expect(slow![0]).toBeLessThan(0.5 * untaught![0])
    expect(tiers![1]).toBeLessThan(1.01 * untaught![1])
    expect(slow![1]).toBeLessThan(1.01 * untaught![1])
    expect(stdout).toMatch(/^consolidation kept: .*; 0 pairs left in the memory$/m)
  })
  it('on-top-of-a-model routes better as it hears more, best from corrections, and the same after it was saved', () => {
    const { stdout, seconds } = run('examples/on-top-of-a-model.ts')
    expect(seconds).toBeLessThan(10)
    const right = (name: string): number[] =>
      [...new RegExp(`^${name} .*$`, 'm').exec(stdout)![0].matchAll(/(\d+) %/g)].map(([, count]) =>
        Number(count),
      )
    for (const [name, least] of [
      ['corrections', 50],
      ['thumbs', 28],
    ] as const) {
      const counts = right(name)
      expect(counts).toHaveLength(5)
      expect(counts[4]!).toBeGreaterThan(least)
      expect(counts[4]!).toBeGreaterThan(1.5 * counts[0]!)
    }
    expect(stdout).toMatch(/it routes 500 of 500 requests to the same place/)
  })
  it('task-specific-adapters takes less than 5 seconds and reports what each step cost', () => {
    const { stdout, seconds } = run('examples/task-specific-adapters.ts')
    expect(seconds).toBeLessThan(5)
    const lines = stdout.trim().split('\n')
    expect(lines[0]).toMatch(/^step +ms +result$/)
    const steps = [
      'create',
      '1,000 examples',
      'split',
      'train quick',
      'forward',
      'train another',
      'merge 0.7 / 0.3',
      'save',
      'load',
    ]
    for (const step of steps)
      expect(lines.find((line) => line.startsWith(`${step} `))).toMatch(/ \d+\.\d {2}\S/)
    const [error, untrained] = /error ([\d.]+), without the adapter ([\d.]+)/
      .exec(stdout)!
      .slice(1)
      .map(Number) as [number, number]
    expect(error).toBeLessThan(0.4 * untrained)
  })
  it('swap-adapters exchanges an adapter under way, takes it back, and learns new work', () => {
    const { stdout } = run('examples/swap-adapters.ts')
    expect(stdout).toContain('a pass is still running on the old one: true')
    expect(stdout).toContain('the coder again: true')
    const [adapted, before] = /error on new work ([\d.]+), before ([\d.]+)/
      .exec(stdout)!
      .slice(1)
      .map(Number) as [number, number]
    expect(adapted).toBeLessThan(0.8 * before)
  })
})

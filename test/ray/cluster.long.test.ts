// Graft on a real Ray cluster (docs/ray.md): Ray is installed into a virtual environment of its own
// once, and every scenario runs in a network and process namespace of its own, in which there is
// loopback alone and nothing stays behind.

import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest'
import { getCacheDirectory } from '../../src/node/models/cache.ts'
import { scratchFolder } from '../support/cli.ts'
import { root } from '../support/sources.ts'

const version = '2.60.0'
const venv = join(getCacheDirectory(), 'test', `ray-${version}`)
const python = join(venv, 'bin', 'python')
const scratch = scratchFolder()
let reason: string | undefined

/** What the scenario printed last. */
function run(name: string): Promise<ReturnType<typeof JSON.parse>> {
  const scenario = join(root, 'test', 'ray', 'scenarios.ts')
  const command = [process.execPath, scenario, name, python, join(scratch.path, name)]
  const inside = 'ip link set lo up && exec "$@"'
  const isolated = ['--net', '--pid', '--fork', '--mount-proc', '--kill-child']
  const child = spawn('unshare', [...isolated, 'sh', '-c', inside, 'sh', ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, RAY_worker_niceness: '0' },
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (part: Buffer) => (stdout += part.toString()))
  child.stderr.on('data', (part: Buffer) => (stderr += part.toString()))
  return new Promise((resolve, reject) => {
    child.on('close', () => {
      const line = stdout.trim().split('\n').at(-1) ?? ''
      if (line.startsWith('{')) resolve(JSON.parse(line))
      else reject(new Error(`${name}: ${stderr.slice(-2000)}`))
    })
  })
}

beforeAll(() => {
  if (spawnSync('unshare', ['--net', 'true']).status !== 0)
    reason = 'this user may not make a network of its own (unshare --net)'
  else if (!existsSync(join(venv, 'bin', 'ray'))) {
    spawnSync('python3', ['-m', 'venv', venv])
    const made = spawnSync(python, ['-m', 'pip', 'install', '-q', `ray[default,serve]==${version}`])
    if (made.status !== 0) reason = `ray ${version} cannot be installed here`
  }
}, 900_000)
afterAll(() => scratch.remove())

const skipWithout = ({ skip }: TestContext): void => {
  if (reason !== undefined) skip(reason)
}

describe('on a real cluster', () => {
  it('trains six experts, one of whose workers is killed; a wrong manifest fails alone', async (context) => {
    skipWithout(context)
    expect(await run('experts')).toMatchObject({
      code: 1,
      saysLine: true,
      ended: 6,
      lost: 1,
      written: 6,
    })
  }, 900_000)

  it('trains two replicas to the bytes of one process, also with one killed', async (context) => {
    skipWithout(context)
    const { codes, hashes, lost, exchangeMs, errors } = await run('replicas')
    expect([codes, errors]).toEqual([[0, 0, 0], expect.anything()])
    expect(new Set(hashes).size).toBe(1)
    expect(lost).toBe(1)
    expect(exchangeMs).toBeLessThan(150)
  }, 900_000)

  it('ends a run after its step on Ctrl-C, and leaves no process', async (context) => {
    skipWithout(context)
    expect(await run('stop')).toMatchObject({
      code: 1,
      reason: 'stopped',
      left: 0,
      hasCheckpoint: true,
    })
  }, 900_000)
})

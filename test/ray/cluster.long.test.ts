// Graft on a real Ray cluster (docs/ray.md): Ray is installed once into a separate virtual
// environment, and every scenario runs in its own network and process namespace, which has only a
// loopback interface.

import { spawn, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest'
import { parse, stringify } from 'yaml'
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
  else if (spawnSync(python, ['-c', 'import aiohttp, numpy, ray.serve']).status !== 0) {
    spawnSync('python3', ['-m', 'venv', venv])
    const packages = [`ray[default,serve]==${version}`, 'numpy']
    if (spawnSync(python, ['-m', 'pip', 'install', '-q', ...packages]).status !== 0)
      reason = `ray ${version} cannot be installed here`
  }
}, 900_000)
afterAll(() => scratch.remove())

const skipWithout = ({ skip }: TestContext): void => {
  if (reason !== undefined) skip(reason)
}

describe('the files of KubeRay', () => {
  it('are what Kubernetes takes: the volume, and the pods of the cluster', (context) => {
    skipWithout(context)
    const made = spawnSync(python, ['-m', 'pip', 'install', '-q', 'kubernetes-validate==1.37.0'])
    if (made.status !== 0) context.skip('kubernetes-validate cannot be installed here')
    const read = (name: string) => readFileSync(join(root, 'cluster', 'kuberay', name), 'utf8')
    const { spec } = parse(read('ray-cluster.yaml'), { merge: true })
    const pods = [spec.headGroupSpec, ...spec.workerGroupSpecs].map(({ template }, i) =>
      Object.assign({ apiVersion: 'v1', kind: 'Pod', metadata: { name: `pod-${i}` } }, template),
    )
    const files = [read('shared-volume.yaml'), ...pods.map((pod) => stringify(pod))].map(
      (text, i) => {
        const path = join(scratch.path, `${i}.yaml`)
        writeFileSync(path, text)
        return path
      },
    )
    const validate = join(venv, 'bin', 'kubernetes-validate')
    const { status, stdout, stderr } = spawnSync(validate, ['--strict', ...files])
    expect([status, `${stdout}${stderr}`.match(/ passed /g)?.length]).toEqual([0, 3])
  }, 300_000)
})

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

  it('trains two replicas to the bytes of one process, also with a process, an actor, a node killed', async (context) => {
    skipWithout(context)
    const { codes, hashes, lost, exchangeMs, resumedSeconds, left } = await run('replicas')
    expect(codes).toEqual([0, 0, 0, 0, 0])
    expect(new Set(hashes).size).toBe(1)
    expect([lost, left]).toEqual([[1, 1, 1], 0])
    expect(exchangeMs).toBeLessThan(150)
    for (const seconds of resumedSeconds as number[]) expect(seconds).toBeLessThan(10)
  }, 900_000)

  it('trains six experts 1.6 times as fast on two nodes of a core each as on one', async (context) => {
    skipWithout(context)
    if (availableParallelism() < 2) context.skip('this machine has one core')
    if (loadavg()[0]! > 1.5) context.skip('other work runs on the cores')
    const { codes, ratio } = await run('speed')
    expect(codes).toEqual([0, 0])
    expect(ratio).toBeGreaterThan(1.6)
  }, 900_000)

  it('serves experts where they are loaded, also after kills; users and experts stay', async (context) => {
    skipWithout(context)
    const seen = await run('serve')
    expect(seen.fit.seconds).toEqual(Array.from({ length: 10 }, () => 0))
    for (const loads of seen.exact.seconds as number[]) expect(loads).toBeLessThanOrEqual(6)
    expect(seen.hotSeconds).toBeLessThan(10)
    expect(seen).toMatchObject({
      routeCode: 0,
      routed: 200,
      absent: 404,
      taught: { replicas: 1, statuses: [200] },
      learned: true,
      isReplaced: true,
      stranger: false,
      killed: { answered: 40 },
      learnedAfterKill: [200, true],
      learnedAfterRestart: [200, true],
      expertAfterRestart: 200,
      listed: true,
      codes: [0, 0],
      left: 0,
    })
  }, 1_500_000)

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

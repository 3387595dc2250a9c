// graft serve --on ray://…, against a head that answers as Ray does: what the cluster is told, what is
// shown, and how it ends. The gate and the replicas themselves are tested on Ray (npm run test:long).

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createRouter } from '../../src/node/index.ts'
import { parseReplicas } from '../../src/cli/serve/serve-on-ray.ts'
import { graft, graftHere, scratchFolder } from '../support/cli.ts'
import { openRayDouble, type RayDouble, type RayJobRun } from '../support/ray-double.ts'

const scratch = scratchFolder()
const adapters = join(scratch.path, 'experts')
const opened: RayDouble[] = []

const router = join(scratch.path, 'router.json')

beforeAll(async () => {
  mkdirSync(join(adapters, 'coder'), { recursive: true })
  writeFileSync(join(adapters, 'coder', 'adapter_config.json'), '{}')
  const experts = [
    { name: 'coder', keywords: ['code'] },
    { name: 'music', keywords: ['song'] },
  ]
  const made = await createRouter({ kind: 'keyword', experts })
  writeFileSync(router, JSON.stringify(made.save()))
})
afterEach(async () => {
  for (const double of opened.splice(0)) await double.close()
})
afterAll(() => scratch.remove())

async function open(run: (job: RayJobRun) => Promise<number>): Promise<RayDouble> {
  const double = await openRayDouble({ run })
  opened.push(double)
  return double
}

interface ServeJobFile {
  readonly command: readonly string[]
  readonly stop: string
  readonly replicas: readonly number[]
  readonly resident: number
  readonly bases: readonly string[]
  readonly key?: string
}

const readJob = ({ files }: RayJobRun): ServeJobFile =>
  JSON.parse(Buffer.from(files.get('job.json')!).toString()) as ServeJobFile

describe('graft serve --on', () => {
  it('starts servers on the cluster, shows their address, and ends by a file on Ctrl-C', async () => {
    let job: ServeJobFile | undefined
    const double = await open(async (run) => {
      job = readJob(run)
      expect([...run.files.keys()]).toContain('graft_serve.py')
      run.log(JSON.stringify({ type: 'serving', host: '127.0.0.1', port: 8123 }))
      while (!existsSync(job.stop)) await new Promise((done) => setTimeout(done, 50))
      run.log(JSON.stringify({ type: 'job-end', code: 0 }))
      return 0
    })
    const args = ['serve', 'stories260k', '--on', `ray://127.0.0.1:${double.port}`]
    const { code, stdout } = await graft(
      [
        ...args,
        '--adapters',
        adapters,
        '--replicas',
        '2..16',
        '--port',
        '8123',
        '--max-tokens',
        '9',
      ],
      {
        onStart: (child) =>
          child.stdout!.on('data', (chunk: Buffer) => {
            if (chunk.toString().includes('Ctrl-C')) child.kill('SIGINT')
          }),
      },
    )
    expect([code, stdout]).toEqual([0, expect.stringContaining('http://127.0.0.1:8123/v1')])
    expect(stdout).toContain('servers  2 to 16, each with 32 experts at a time')
    expect(job).toMatchObject({ replicas: [2, 16], resident: 32, bases: ['stories260k', 'base'] })
    expect(job!.command.join(' ')).toMatch(/serve stories260k --port \{port\}.*--max-tokens 9$/)
    expect(existsSync(job!.stop)).toBe(false)
  }, 180_000)

  it('reports what a machine of the cluster lacks', async () => {
    const double = await open(async ({ log }) => {
      const message = '10.0.0.2: got graft 0.0.9, expected 0.1.0.'
      log(JSON.stringify({ type: 'failed', error: { name: 'WorkerError', message } }))
      return 1
    })
    const on = ['--on', `ray://127.0.0.1:${double.port}`, '--adapters', adapters]
    const { code, stderr } = await graftHere(['serve', 'stories260k', ...on])
    expect([code, stderr]).toEqual([1, expect.stringContaining('got graft 0.0.9')])
  })

  it.each([
    [['--on', 'ray://127.0.0.1:1'], '--on needs --adapters'],
    [['--on', 'ray://127.0.0.1:1', '--adapters', 'absent'], 'is not a folder on this machine'],
    [['--on', 'ray://10.1.2.3', '--adapters', adapters], 'there is no token'],
    [['--on', 'ray://127.0.0.1:1', '--adapters', adapters, '--learn'], '--users postgres://'],
    [
      ['--on', 'ray://127.0.0.1:1', '--adapters', adapters, '--users', 'u.db'],
      '--users: with --on',
    ],
    [
      ['--on', 'ray://127.0.0.1:1', '--adapters', adapters, '--users', 'postgres://127.0.0.1:1/x'],
      'postgres://127.0.0.1:1/x: cannot be used: nothing listens there (ECONNREFUSED).',
    ],
    [
      ['--on', 'ray://127.0.0.1:1', '--adapters', adapters, '--router', router],
      'its expert "music" has no folder in',
    ],
    [['--on', 'ray://127.0.0.1:1', '--adapters', adapters, '--route-log', 'x'], '--route-log: not'],
    [['--on', 'ray://127.0.0.1:1', '--adapters', adapters, '--replicas', '3..2'], 'got 3..2'],
    [['--on', 'ray://127.0.0.1:1', '--adapters', adapters, '--host', '0.0.0.0'], 'there is no key'],
    [['--replicas', '2'], '--replicas is for --on'],
  ])('%o is refused before anything runs', async (options, expected) => {
    const { code, stderr } = await graftHere(['serve', 'stories260k', ...options])
    expect([code === 1 || code === 2, stderr]).toEqual([true, expect.stringContaining(expected)])
  })

  it.each([
    [undefined, [2, 2]],
    ['4', [4, 4]],
    ['2..16', [2, 16]],
  ])('takes --replicas %s as %o', (text, expected) => {
    expect(parseReplicas(text)).toEqual(expected)
  })
})

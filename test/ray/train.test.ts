// graft train --on ray://…, against a head that answers as Ray does. The double runs the manifests
// of a job by the same command that a worker runs.

import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseRayAddress } from '../../src/node/ray/ray-address.ts'
import { followRayJob, startRayJob } from '../../src/node/ray/ray-jobs.ts'
import { createZip } from '../../src/node/ray/zip.ts'
import { graft, graftHere, jsonl, scratchFolder, storyRows } from '../support/cli.ts'
import {
  openRayDouble,
  type RayDouble,
  type RayDoubleOptions,
  type RayJobRun,
  readZip,
} from '../support/ray-double.ts'

const scratch = scratchFolder()
const opened: RayDouble[] = []
let shared: string
let count = 0

beforeEach(() => {
  shared = join(scratch.path, `shared-${count++}`)
  mkdirSync(shared)
  writeFileSync(join(shared, 'rows.jsonl'), jsonl(storyRows.slice(0, 4)))
})
afterEach(async () => {
  for (const double of opened.splice(0)) await double.close()
})
afterAll(() => scratch.remove())

async function open(run: RayDoubleOptions['run'], token?: string): Promise<RayDouble> {
  const double = await openRayDouble({ run, ...(token !== undefined && { token }) })
  opened.push(double)
  return double
}

interface JobFile {
  readonly version: string
  readonly stop: string
  readonly resume: boolean
  readonly arguments: readonly string[]
  readonly replicas: number
  readonly groups: readonly {
    readonly base: string
    readonly runs: readonly { manifest: string; out: string; sha256: string }[]
  }[]
}

const readJob = ({ files }: RayJobRun): JobFile =>
  JSON.parse(Buffer.from(files.get('job.json')!).toString()) as JobFile

/**
 * As graft_ray.py does with one slot: each base's manifests by one command, its lines passed on.
 */
async function trainJob(run: RayJobRun): Promise<number> {
  const job = readJob(run)
  let code = 0
  for (const { runs } of job.groups) {
    const manifests = runs.map(({ manifest }) => manifest)
    const ended = await graftHere(['train', ...manifests, '--events', ...job.arguments])
    for (const line of ended.stdout.trim().split('\n')) run.log(line)
    code ||= ended.code ?? 1
  }
  run.log(JSON.stringify({ type: 'job-end', code }))
  return code
}

function writeManifest(name: string, more = ''): string {
  const path = join(shared, name)
  writeFileSync(
    path,
    `base: stories260k\nkind: { name: lora, rank: 2 }\ndata: { files: rows.jsonl }\nbatch: { rows: 1, tokens: 64 }\nschedule: { steps: 2 }\n${more}`,
  )
  return path
}

const on = ({ port }: { readonly port: number }): string[] => [
  '--on',
  `ray://127.0.0.1:${port}`,
  '--shared',
  shared,
]

describe('graft train --on', () => {
  it('trains manifests of one base together, and a bad one fails alone with its line', async () => {
    const jobs: JobFile[] = []
    const double = await open((run) => {
      jobs.push(readJob(run))
      return trainJob(run)
    })
    const [a, b, bad] = [writeManifest('a.yaml'), writeManifest('b.yaml'), join(shared, 'bad.yaml')]
    writeFileSync(bad, 'base: stories260k\ndata: { flies: rows.jsonl }\n')
    const result = await graftHere(['train', a, bad, b, ...on(double), '--seed', '7', '--json'])
    expect([result.code, result.stderr]).toEqual([1, expect.stringContaining('bad.yaml:2')])
    const { experts } = JSON.parse(result.stdout)
    expect(experts.map((one: { reason: string }) => one.reason)).toEqual([
      'finished',
      'failed',
      'finished',
    ])
    expect(experts[1].error).toContain('Did you mean files?')
    expect(experts[0]).toMatchObject({ manifest: a, steps: 2 })
    for (const { out } of [experts[0], experts[2]])
      expect(existsSync(join(out, 'adapter_model.safetensors'))).toBe(true)
    const [{ groups, arguments: given, resume }] = jobs as [JobFile]
    expect(groups.map(({ base, runs }) => [base, runs.map(({ manifest }) => manifest)])).toEqual([
      ['stories260k', [a, b]],
    ])
    expect(groups[0]!.runs[0]!.sha256).toMatch(/^[0-9a-f]{64}$/)
    expect([given, resume]).toEqual([['--seed', '7'], false])
    expect(readdirSync(join(shared, '.graft-jobs'))).toEqual([])
  }, 180_000)

  it('tells a program that reads --events which manifest is wrong', async () => {
    const double = await open((run) => trainJob(run))
    const [a, bad] = [writeManifest('a.yaml'), join(shared, 'bad.yaml')]
    writeFileSync(bad, 'base: stories260k\ndata: { flies: rows.jsonl }\n')
    const { code, stdout } = await graftHere(['train', a, bad, ...on(double), '--events'])
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const failed = events.filter(({ type }) => type === 'failed')
    expect([code, failed.map(({ manifest }) => manifest)]).toEqual([1, [bad]])
    expect(failed[0].error.message).toMatch(/bad\.yaml:2[^]*Did you mean files\?/)
  })

  it('shows the steps, what is lost and what ends', async () => {
    const a = writeManifest('a.yaml')
    const double = await open(async ({ log }) => {
      log(JSON.stringify({ type: 'bundle', attempt: 1, manifests: [a] }))
      log(JSON.stringify({ type: 'worker-lost', attempt: 1, error: 'The node is dead.' }))
      log(JSON.stringify({ type: 'step-end', manifest: a, step: 1, steps: 2, loss: 2.5 }))
      log(
        JSON.stringify({
          type: 'expert-end',
          manifest: a,
          reason: 'finished',
          out: join(shared, 'a'),
          last: { step: 2, loss: 1.25 },
        }),
      )
      log(JSON.stringify({ type: 'job-end', code: 0 }))
      return 0
    })
    const { code, stdout, stderr } = await graftHere(['train', a, ...on(double)])
    expect([code, stderr]).toEqual([0, expect.stringContaining('a.yaml step 1/2  loss 2.500')])
    expect(stdout).toContain('a worker was lost and its runs continue elsewhere: The node is dead.')
    expect(stdout).toContain('finished after step 2, loss 1.250')
  })

  it('passes events on as lines with --events', async () => {
    const a = writeManifest('a.yaml')
    const double = await open(trainJob)
    const { stdout } = await graftHere(['train', a, ...on(double), '--events'])
    const types = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).type)
    expect(types).toEqual(expect.arrayContaining(['data-ready', 'step-end', 'expert-end']))
  })

  it('reports what a worker refuses: another version, another base', async () => {
    const a = writeManifest('a.yaml')
    const message = '10.0.0.3: got graft 0.0.9, expected 0.1.0. Install the same version'
    const double = await open(async ({ log }) => {
      log(JSON.stringify({ type: 'failed', manifest: a, error: { name: 'WorkerError', message } }))
      log(JSON.stringify({ type: 'job-end', code: 1 }))
      return 1
    })
    const { code, stderr } = await graftHere(['train', a, ...on(double)])
    expect([code, stderr]).toEqual([1, expect.stringContaining(message)])
    const other = await graftHere(['train', a, '--base-sha256', 'f00d'])
    expect([other.code, other.stderr]).toEqual([
      1,
      expect.stringContaining('stories260k is not the base that was asked for'),
    ])
    expect(existsSync(join(shared, 'a'))).toBe(false)
  })

  it('ends a run after its step on Ctrl-C, by a file that the cluster sees', async () => {
    const a = writeManifest('a.yaml')
    let seen = ''
    const double = await open(async (run) => {
      const { stop } = readJob(run)
      run.log(JSON.stringify({ type: 'step-end', manifest: a, step: 1, steps: 9, loss: 1 }))
      while (!existsSync(stop)) await new Promise((done) => setTimeout(done, 50))
      seen = stop
      run.log(
        JSON.stringify({ type: 'expert-end', manifest: a, reason: 'stopped', last: { step: 3 } }),
      )
      run.log(JSON.stringify({ type: 'job-end', code: 0 }))
      return 0
    })
    const { code, stdout } = await graft(['train', a, ...on(double)], {
      onStart: (child) =>
        child.stderr!.on('data', (chunk: Buffer) => {
          if (chunk.toString().includes('Ray job')) child.kill('SIGINT')
        }),
    })
    expect([code, stdout]).toEqual([1, expect.stringContaining('stopped after step 3')])
    expect(existsSync(seen)).toBe(false)
  }, 180_000)

  it('says in one line why a job ended that did not say so itself', async () => {
    const a = writeManifest('a.yaml')
    const double = await open(async ({ log }) => {
      log("ModuleNotFoundError: No module named 'numpy'")
      return 1
    })
    const { code, stderr } = await graftHere(['train', a, ...on(double)])
    expect([code, stderr.trim().split('\n').at(-1)]).toEqual([
      1,
      expect.stringMatching(/The Ray job raysubmit_1 failed: .*continue with --resume/),
    ])
  })
})

describe('bad input', () => {
  it.each([
    ['no shared folder', ['--on', 'ray://127.0.0.1:1'], '--on needs --shared'],
    ['a shared folder alone', ['--shared', '.'], '--shared is for --on'],
    ['another scheme', ['--on', 'http://127.0.0.1:1', '--shared', '.'], 'got "http://127.0.0.1:1"'],
    [
      'no folder',
      ['--on', 'ray://127.0.0.1:1', '--shared', 'absent'],
      'is not a folder on this machine',
    ],
    ['a plan', ['--on', 'ray://127.0.0.1:1', '--shared', '.', '--plan'], '--plan is for a run'],
    [
      'a head elsewhere without a token',
      ['--on', 'ray://10.0.0.1:8265', '--shared', '.'],
      'RAY_AUTH_MODE=token',
    ],
    ['a head that is away', ['--on', 'ray://127.0.0.1:59998', '--shared', '.'], 'ECONNREFUSED'],
  ])('%s is one line, before anything runs', async (_, options, expected) => {
    const a = writeManifest('a.yaml')
    const given = options.map((one) => (one === '.' ? shared : one))
    const { code, stderr } = await graftHere(['train', a, ...given])
    expect([code === 1 || code === 2, stderr]).toEqual([true, expect.stringContaining(expected)])
    expect(existsSync(join(shared, 'a'))).toBe(false)
  })

  it('rows outside the shared folder are named', async () => {
    const double = await open(trainJob)
    const outside = join(scratch.path, 'outside.jsonl')
    writeFileSync(outside, jsonl(storyRows))
    const a = join(shared, 'a.yaml')
    writeFileSync(a, `base: stories260k\ndata: { files: ${outside} }\n`)
    const { code, stderr } = await graftHere(['train', a, ...on(double)])
    expect([code, stderr]).toEqual([1, expect.stringContaining(`${outside}: not in the shared`)])
    expect(double.requests).toEqual([])
  })
})

describe('the Jobs API', () => {
  it('gets the token, and a package once', async () => {
    const double = await open(async () => 0, 'secret')
    const environment = { RAY_AUTH_TOKEN: 'secret' }
    const address = parseRayAddress(`ray://127.0.0.1:${double.port}`, environment)
    const files = [{ name: 'x.py', bytes: Buffer.from('pass\n') }]
    for (const id of ['raysubmit_1', 'raysubmit_2']) {
      expect(await startRayJob(address, { entrypoint: 'python x.py', files })).toBe(id)
      const events = followRayJob(address, id)
      expect((await events.next()).value).toMatchObject({ status: 'SUCCEEDED' })
    }
    expect(double.requests.filter((one) => one.startsWith('PUT'))).toHaveLength(1)
    const wrong = parseRayAddress(`ray://127.0.0.1:${double.port}`, { RAY_AUTH_TOKEN: 'no' })
    await expect(startRayJob(wrong, { entrypoint: '', files })).rejects.toThrow(/refuses the token/)
  })

  it('is not asked as browsers ask, which Ray refuses', async () => {
    const double = await open(async () => 0)
    const response = await fetch(`http://127.0.0.1:${double.port}/api/jobs/`, { method: 'POST' })
    expect(response.status).toBe(405)
    let headers: object = {}
    const server = createServer((request, reply) => {
      headers = request.headers
      reply.end('{}')
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { port } = server.address() as AddressInfo
    const files = [{ name: 'x.py', bytes: Buffer.from('pass\n') }]
    const address = parseRayAddress(`ray://localhost:${port}`, {})
    await expect(startRayJob(address, { entrypoint: '', files })).rejects.toThrow(/gave no job id/)
    expect(Object.keys(headers).filter((name) => name.startsWith('sec-'))).toEqual([])
    server.close()
  })

  it('takes zips of stored files, the same bytes for the same files', () => {
    const files = [
      { name: 'a.py', bytes: Buffer.from('print(1)\n') },
      { name: 'job.json', bytes: Buffer.from('{}') },
    ]
    const zip = Buffer.from(createZip(files))
    expect([...readZip(zip)].map(([name, bytes]) => [name, Buffer.from(bytes).toString()])).toEqual(
      [
        ['a.py', 'print(1)\n'],
        ['job.json', '{}'],
      ],
    )
    expect(zip.equals(Buffer.from(createZip(files)))).toBe(true)
  })
})

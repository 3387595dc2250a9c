// What is tried on a real Ray cluster, run in a network and process namespace of its own by
// cluster.long.test.ts: `scenarios.ts NAME PYTHON FOLDER` prints a line of JSON with what was seen.

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { graft, jsonl, storyRows } from '../support/cli.ts'
import { doubleKeys } from '../support/s3-double.ts'
import { root } from '../support/sources.ts'
import { tryServe } from './serve-scenario.ts'

Object.assign(process.env, doubleKeys) // the machines of the cluster have them, too
const [name = '', python = '', folder = ''] = process.argv.slice(2)
const port = 8299
const address = `ray://127.0.0.1:${port}`

/** Resolves when the cluster's first line is there. */
async function openCluster(nodes: number): Promise<ChildProcess> {
  const child = spawn(python, [join(root, 'test', 'ray', 'cluster.py'), `${nodes}`, `${port}`], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  await new Promise<void>((resolve, reject) => {
    child.stdout!.on('data', (text: Buffer) => text.includes('address') && resolve())
    child.on('exit', (code) => reject(new Error(`the cluster ended with ${code}`)))
  })
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/api/version`).catch(() => undefined)
    if (answer?.ok) return child
    await sleep(300)
  }
}

function writeManifest(file: string, { steps, seed = 1, more = '' }: ManifestChoice): string {
  const path = join(folder, `${file}.yaml`)
  writeFileSync(
    path,
    `base: stories260k\nout: ${file}\nkind: { name: lora, rank: 4, dropout: 0.1 }\ndata: { files: rows.jsonl }\nbatch: { rows: 1, tokens: 64, packing: false${more} }\nschedule: { name: cosine, steps: ${steps}, learningRate: 5e-3, saveEverySteps: 20 }\nseed: ${seed}\n`,
  )
  return path
}

interface ManifestChoice {
  readonly steps: number
  readonly seed?: number
  readonly more?: string
}

const hashAdapter = (file: string): string =>
  createHash('sha256')
    .update(readFileSync(join(folder, file, 'adapter_model.safetensors')))
    .digest('hex')

type ClusterLine = Readonly<Record<string, unknown>>

/** graft train --on, with every event told as it comes. */
async function trainOnCluster(
  args: readonly string[],
  onEvent: (event: ClusterLine, child: ChildProcess) => void = () => undefined,
) {
  const events: ClusterLine[] = []
  const result = await graft(['train', ...args, '--on', address, '--shared', folder, '--events'], {
    onStart: (child) => {
      let rest = ''
      child.stdout!.on('data', (text: Buffer) => {
        const lines = (rest + text.toString()).split('\n')
        rest = lines.pop()!
        for (const line of lines) {
          const event = JSON.parse(line) as ClusterLine
          events.push(event)
          onEvent(event, child)
        }
      })
    },
  })
  return { code: result.code, stderr: result.stderr, events }
}

const listTypes = (events: readonly ClusterLine[], type: string): ClusterLine[] =>
  events.filter((event) => event['type'] === type)

/** Processes of Graft that train or serve in this namespace. */
async function countGraftProcesses(): Promise<number> {
  const child = spawn('sh', ['-c', "ps -eo args | grep -cE '^[^ ]*node .*main.ts (train|serve)'"])
  let text = ''
  child.stdout.on('data', (part: Buffer) => (text += part.toString()))
  await new Promise((done) => child.on('close', done))
  return Number(text)
}

/** Six experts and a wrong one; the worker of one is killed in the middle. */
async function tryExperts() {
  const files = ['e0', 'e1', 'e2', 'e3', 'e4', 'e5']
  const manifests = files.map((file, i) => writeManifest(file, { steps: 60, seed: i }))
  const bad = join(folder, 'bad.yaml')
  writeFileSync(bad, 'base: stories260k\ndata: { flies: rows.jsonl }\n')
  const workers = new Map<string, number>()
  let isKilled = false
  const begun = performance.now()
  const { code, events, stderr } = await trainOnCluster([...manifests, bad], (event) => {
    const { type, manifest, worker } = event
    if (type === 'bundle')
      for (const one of event['manifests'] as string[]) workers.set(one, Number(worker))
    if (isKilled || type !== 'step-end' || Number(event['step']) < 25) return
    isKilled = true
    process.kill(workers.get(String(manifest))!, 'SIGKILL')
  })
  const said = JSON.stringify([stderr, listTypes(events, 'failed')])
  const isWritten = (file: string): boolean =>
    existsSync(join(folder, file, 'adapter_model.safetensors'))
  const ended = new Set(listTypes(events, 'expert-end').map(({ manifest }) => manifest))
  return {
    code,
    seconds: (performance.now() - begun) / 1000,
    saysLine: ['bad.yaml:2', 'Did you mean files?'].every((part) => said.includes(part)),
    ended: ended.size,
    lost: listTypes(events, 'worker-lost').length,
    written: files.filter(isWritten).length,
  }
}

const pickMedian = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!

/** Two replicas; from step 30 on `lose` is called once. How long the next step took then. */
async function trainReplicas(
  file: string,
  steps: number,
  lose?: (replicas: readonly ReplicaIds[]) => void,
) {
  let ids: readonly ReplicaIds[] = []
  let lostAt = 0
  let lostMs = 0
  const args = [writeManifest(file, { steps, more: ', accumulation: 4' })]
  const run = await trainOnCluster([...args, '--shards', '4', '--replicas', '2'], (event) => {
    if (event['type'] === 'replicas') ids = event['replicas'] as ReplicaIds[]
    if (event['type'] !== 'step-end' || !lose) return
    if (lostAt === 0 && Number(event['step']) >= 30) {
      lostAt = performance.now()
      lose(ids)
    } else if (lostAt > 0 && lostMs === 0 && Number(event['step']) < 30)
      lostMs = performance.now() - lostAt
  })
  return {
    code: run.code,
    hash: run.code === 0 ? hashAdapter(file) : run.stderr.slice(-300),
    lost: listTypes(run.events, 'worker-lost').length,
    exchanges: listTypes(run.events, 'exchange').map(({ ms }) => Number(ms)),
    resumedSeconds: lostMs / 1000,
  }
}

const headNode = '127.0.0.1'

interface ReplicaIds {
  readonly worker: number
  readonly process: number
  readonly node: string
}

/** Two replicas against one process; then with a process, an actor and a node killed. */
async function tryReplicas({ cluster }: ScenarioPlace) {
  const manifest = writeManifest('alone', { steps: 60, more: ', accumulation: 4' })
  // A worker has one thread; another number of threads adds up in another order.
  const alone = await graft(['train', manifest, '--shards', '4', '--threads', '1'])
  const plain = await trainReplicas('plain', 60)
  const runs = {
    process: await trainReplicas('process', 60, (ids) => process.kill(ids[1]!.process, 'SIGKILL')),
    actor: await trainReplicas('actor', 60, (ids) => process.kill(ids[0]!.worker, 'SIGKILL')),
    node: await trainReplicas('node', 60, (ids) => {
      const { node } = ids.find((replica) => replica.node !== headNode)!
      cluster.stdin!.write(`kill ${node}\n`)
    }),
  }
  await sleep(3_000)
  return {
    codes: [alone, plain, ...Object.values(runs)].map(({ code }) => code),
    hashes: [hashAdapter('alone'), plain.hash, ...Object.values(runs).map(({ hash }) => hash)],
    lost: Object.values(runs).map(({ lost }) => lost),
    exchangeMs: pickMedian(plain.exchanges),
    resumedSeconds: Object.values(runs).map(({ resumedSeconds }) => resumedSeconds),
    left: await countGraftProcesses(),
  }
}

/** Six experts on one node and on two: seconds from the first bundle to the end. */
async function trySpeed({ cluster }: ScenarioPlace) {
  const train = async (prefix: string) => {
    const files = Array.from({ length: 6 }, (_, i) => `${prefix}${i}`)
    const manifests = files.map((file, seed) =>
      writeManifest(file, { steps: 1_000, seed, more: ', accumulation: 2' }),
    )
    let begun = 0
    const started = performance.now()
    const { code } = await trainOnCluster(manifests, ({ type }) => {
      if (type === 'bundle' && begun === 0) begun = performance.now()
    })
    const now = performance.now()
    return { code, seconds: (now - begun) / 1000, wholeSeconds: (now - started) / 1000 }
  }
  const two = await train('two')
  cluster.stdin!.write('kill 127.0.0.2\n')
  await sleep(15_000) // until the cluster knows
  const one = await train('one')
  return { codes: [one.code, two.code], one, two, ratio: one.seconds / two.seconds }
}

/** Ctrl-C in the middle: every run ends with a checkpoint, and no process stays. */
async function tryStop() {
  let stoppedAt = 0
  const { code, events } = await trainOnCluster(
    [writeManifest('long', { steps: 5_000 })],
    (event, child) => {
      if (stoppedAt > 0 || event['type'] !== 'step-end' || Number(event['step']) < 5) return
      stoppedAt = performance.now()
      child.kill('SIGINT')
    },
  )
  const seconds = (performance.now() - stoppedAt) / 1000
  await sleep(3_000)
  return {
    code,
    seconds,
    reason: listTypes(events, 'expert-end')[0]?.['reason'],
    left: await countGraftProcesses(),
    hasCheckpoint: existsSync(join(folder, 'long', 'checkpoints', 'checkpoint-a.safetensors')),
  }
}

interface ScenarioPlace {
  readonly cluster: ChildProcess
}

interface Scenario {
  readonly nodes: number
  readonly run: (place: ScenarioPlace) => Promise<object>
}

const scenarios: Readonly<Record<string, Scenario>> = {
  experts: { nodes: 2, run: tryExperts },
  replicas: { nodes: 3, run: tryReplicas },
  speed: { nodes: 2, run: trySpeed },
  stop: { nodes: 1, run: tryStop },
  serve: { nodes: 2, run: () => tryServe(address, folder, 10) },
}

const { nodes, run } = scenarios[name]!
mkdirSync(folder, { recursive: true })
writeFileSync(join(folder, 'rows.jsonl'), jsonl(storyRows.slice(0, 8)))
const cluster = await openCluster(nodes)
console.log(JSON.stringify(await run({ cluster })))
cluster.stdin!.end()
process.exit(0)

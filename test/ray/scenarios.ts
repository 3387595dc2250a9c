// What is tried on a real Ray cluster, run in a network and process namespace of its own by
// cluster.long.test.ts: `scenarios.ts NAME PYTHON FOLDER` prints a line of JSON with what was seen.

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { graft, jsonl, storyRows } from '../support/cli.ts'
import { root } from '../support/sources.ts'

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
  const isWritten = (file: string): boolean =>
    existsSync(join(folder, file, 'adapter_model.safetensors'))
  const ended = new Set(listTypes(events, 'expert-end').map(({ manifest }) => manifest))
  return {
    code,
    seconds: (performance.now() - begun) / 1000,
    saysLine: stderr.includes('bad.yaml:2') && stderr.includes('Did you mean files?'),
    ended: ended.size,
    lost: listTypes(events, 'worker-lost').length,
    written: files.filter(isWritten).length,
  }
}

/** Two replicas against one process; then with a process killed in the middle. */
async function tryReplicas() {
  const more = ', accumulation: 4'
  const alone = await graft(['train', writeManifest('alone', { steps: 60, more }), '--shards', '4'])
  const run = (file: string, onEvent?: Parameters<typeof trainOnCluster>[1]) =>
    trainOnCluster(
      [writeManifest(file, { steps: 60, more }), '--shards', '4', '--replicas', '2'],
      onEvent,
    )
  const plain = await run('plain')
  let victim = 0
  let killedAt = 0
  let lostMs = 0
  const killed = await run('killed', (event) => {
    const { type } = event
    if (type === 'replicas' && victim === 0)
      victim = (event['replicas'] as { process: number }[])[1]!.process
    if (type !== 'step-end') return
    if (killedAt === 0 && Number(event['step']) >= 30) {
      killedAt = performance.now()
      process.kill(victim, 'SIGKILL')
    } else if (killedAt > 0 && lostMs === 0) lostMs = performance.now() - killedAt
  })
  const times = listTypes(plain.events, 'exchange').map(({ ms }) => Number(ms))
  return {
    codes: [alone.code, plain.code, killed.code],
    hashes: ['alone', 'plain', 'killed'].map(hashAdapter),
    lost: listTypes(killed.events, 'worker-lost').length,
    exchangeMs: times.toSorted((a, b) => a - b)[times.length >> 1],
    resumedSeconds: lostMs / 1000,
    errors: [plain.stderr, killed.stderr].map((text) => text.slice(-300)),
  }
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

const scenarios: Readonly<Record<string, { nodes: number; run: () => Promise<object> }>> = {
  experts: { nodes: 2, run: tryExperts },
  replicas: { nodes: 2, run: tryReplicas },
  stop: { nodes: 1, run: tryStop },
}

const { nodes, run } = scenarios[name]!
mkdirSync(folder, { recursive: true })
writeFileSync(join(folder, 'rows.jsonl'), jsonl(storyRows.slice(0, 8)))
const cluster = await openCluster(nodes)
console.log(JSON.stringify(await run()))
cluster.stdin!.end()
process.exit(0)

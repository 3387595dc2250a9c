// A server under a mixed load for as long as is asked: clients that come and go, experts that change,
// and a probe that must always be answered with the same tokens.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadModel, openRegistry, saveAdapter } from '../../../src/node/index.ts'
import { createNoisyExpert } from '../server.ts'
import { chooseAction, type SoakAction } from './actions.ts'
import { answerActions } from './answer-actions.ts'
import { adapterFolders, changeActions, createPublishing } from './change-actions.ts'
import { SoakClient } from './client.ts'
import type { ServerState } from './soak-server.ts'
import { type SoakedServer, startSoaked } from './start-soaked.ts'
import { createTuning } from './tuning-action.ts'

export interface SoakReport {
  readonly problems: readonly string[]
  readonly statuses: Readonly<Record<string, number>>
  /** How often each action was done. */
  readonly actions: Readonly<Record<string, number>>
  readonly probes: number
  readonly longestProbeMs: number
  /** While nothing ran, one after another. */
  readonly states: readonly ServerState[]
  readonly output: string
}

const clients = 8
const measurements = 100
/** How long requests that run may take once no new ones are sent. */
const idleMs = 120_000

export async function runSoak(minutes: number, seed: number): Promise<SoakReport> {
  const folder = await mkdtemp(join(tmpdir(), 'graft-soak-'))
  await saveExperts(folder)
  const registry = await openRegistry(join(folder, 'registry'))
  await registry.add(join(folder, 'seed-1'), { id: 'published', version: '1.0.0' })
  const server = await startSoaked(createOptions(folder))
  try {
    const publish = createPublishing(registry, folder)
    const actions = [
      ...answerActions,
      ...changeActions,
      { name: 'publish', weight: 2, run: publish },
      { name: 'jobs', weight: 2, run: createTuning(registry) },
    ]
    const soak = new Soak(server, new SoakClient(server.url, seed), actions)
    await soak.run(minutes * 60_000)
    const { isWhole, code } = await server.close()
    if (!isWhole || code !== 0) soak.client.note(`the server ended with ${code}, whole: ${isWhole}`)
    return soak.report()
  } finally {
    await registry.close()
    await rm(folder, { recursive: true })
  }
}

async function saveExperts(folder: string): Promise<void> {
  const model = await loadModel('stories260k')
  for (const [i, name] of adapterFolders.entries())
    await saveAdapter(
      Object.assign({}, createNoisyExpert(model, i + 1), { baseModel: 'stories260k' }),
      join(folder, name),
    )
  await model.dispose()
}

const createOptions = (folder: string) => ({
  model: 'stories260k',
  port: 0,
  log: 'off',
  learn: true,
  userBytes: 10_000, // so that every user who is not in use is in the store
  threads: 1,
  maxRows: 4,
  kvBytes: 4 * 2 ** 20,
  registryBytes: 2 ** 20,
  state: join(folder, 'state'),
  registry: join(folder, 'registry'),
  adapterFolders: [folder],
  adapters: [
    { name: 'coder', path: join(folder, 'seed-1') },
    { name: 'swapped', path: join(folder, 'seed-2') },
  ],
})

const probes = ['stories260k', 'coder']
const probeBody = { prompt: 'Once upon a time', max_tokens: 24, temperature: 0, logprobs: 0 }

class Soak {
  readonly client: SoakClient
  readonly #server: SoakedServer
  readonly #actions: readonly SoakAction[]
  readonly #done: Record<string, number> = {}
  readonly #states: ServerState[] = []
  #probes = 0
  #longestProbeMs = 0
  #isPaused = false
  #busy = 0
  #endsAt = 0

  constructor(server: SoakedServer, client: SoakClient, actions: readonly SoakAction[]) {
    this.#server = server
    this.client = client
    this.#actions = actions
  }

  report(): SoakReport {
    const { problems, statuses } = this.client
    const output = this.#server.output()
    if (output !== '') this.client.note(`the server wrote: ${output.slice(0, 2000)}`)
    return {
      problems,
      statuses,
      actions: this.#done,
      probes: this.#probes,
      longestProbeMs: this.#longestProbeMs,
      states: this.#states,
      output,
    }
  }

  async run(ms: number): Promise<void> {
    const wanted = await Promise.all(probes.map((model) => this.#probe(model)))
    this.#endsAt = performance.now() + ms
    await Promise.all([
      ...Array.from({ length: clients }, () => this.#load()),
      this.#repeatProbe(wanted),
      this.#measure(ms / measurements),
    ])
  }

  get #isOver(): boolean {
    return this.client.isFull || performance.now() >= this.#endsAt
  }

  async #load(): Promise<void> {
    while (!this.#isOver) {
      if (this.#isPaused) {
        await sleep(5)
        continue
      }
      const action = chooseAction(this.client, this.#actions)
      this.#busy++
      try {
        await action.run(this.client)
      } catch (error) {
        this.client.note(`${action.name}: ${String((error as Error).stack ?? error)}`)
      }
      this.#busy--
      this.#done[action.name] = (this.#done[action.name] ?? 0) + 1
    }
  }

  async #probe(model: string): Promise<string> {
    const started = performance.now()
    const answer = await this.client.send('/v1/completions', { ...probeBody, model })
    this.#longestProbeMs = Math.max(this.#longestProbeMs, performance.now() - started)
    const [choice] = answer?.body.choices ?? []
    return JSON.stringify([choice?.text, choice?.logprobs?.tokens])
  }

  async #repeatProbe(wanted: readonly string[]): Promise<void> {
    while (!this.#isOver) {
      for (const [i, model] of probes.entries()) {
        this.#busy++
        const got = await this.#probe(model)
        this.#busy--
        this.#probes++
        if (got !== wanted[i]) this.client.note(`the probe of ${model}: ${got}, not ${wanted[i]}`)
      }
      do await sleep(200)
      while (this.#isPaused && !this.#isOver)
    }
  }

  /** Every `ms`: lets what runs end, then looks at memory and at what is left over. */
  async #measure(ms: number): Promise<void> {
    while (!this.#isOver) {
      await sleep(ms)
      this.#isPaused = true
      const since = performance.now()
      while (this.#busy > 0 && performance.now() - since < idleMs) await sleep(10)
      if (this.#busy > 0) this.client.note(`${this.#busy} requests run after ${idleMs} ms`)
      const state = await this.#settle()
      this.#states.push(state)
      this.#isPaused = false
    }
  }

  /** The state once cancelled sequences have left; a second is more than a step takes. */
  async #settle(): Promise<ServerState> {
    for (let tries = 0; ; tries++) {
      const state = await this.#server.measure()
      const { running, waiting, leases } = state
      if (running === 0 && waiting === 0 && leases === 0) return state
      if (tries === 20) {
        this.client.note(`left over: ${JSON.stringify(state)}`)
        return state
      }
      await sleep(50)
    }
  }
}

// graft serve --on a real Ray cluster: who loads what where, what a killed server costs, and
// whether experts and users are there after a restart. Two nodes of a core each; users in a double
// of S3.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { saveAdapter } from '../../src/node/adapters.ts'
import { graft } from '../support/cli.ts'
import { createExpert, openStories } from '../support/engine.ts'
import { startS3Double } from '../support/s3-double.ts'
import { root } from '../support/sources.ts'

const port = 8311
const url = `http://127.0.0.1:${port}`
const resident = 3

interface Answer {
  readonly status: number
  readonly replica: string
  readonly loaded: boolean
  readonly body: { readonly id: string; readonly choices: readonly { readonly text: string }[] }
}

async function post(path: string, body: object): Promise<Answer> {
  const response = await fetch(url + path, { method: 'POST', body: JSON.stringify(body) })
  return {
    status: response.status,
    replica: response.headers.get('x-graft-replica') ?? '',
    loaded: response.headers.get('x-graft-loaded') === 'true',
    body: (await response.json()) as Answer['body'],
  }
}

const complete = (more: object): Promise<Answer> =>
  post(
    '/v1/completions',
    Object.assign({ prompt: 'The dog is', max_tokens: 8, temperature: 0 }, more),
  )

/** graft serve --on, until it says that it serves. */
async function startServing(address: string, adapters: string, more: readonly string[]) {
  const args = ['serve', 'stories260k', '--on', address, '--adapters', adapters, ...more]
  const numbers = ['--port', `${port}`, '--resident', `${resident}`, '--max-rows', '4']
  const child = spawn(
    process.execPath,
    [join(root, 'src', 'cli', 'main.ts'), ...args, ...numbers, '--replicas', '2'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let said = ''
  await new Promise<void>((ready, reject) => {
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (part: Buffer) => (said += part.toString()).includes('Ctrl-C') && ready())
    child.on('exit', (code) => reject(new Error(`graft serve ended with ${code}: ${said}`)))
  })
  return child
}

async function stop(child: ChildProcess): Promise<number | null> {
  child.removeAllListeners('exit')
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  child.kill('SIGINT')
  return ended
}

const listServers = (): number[] =>
  spawnSync('sh', [
    '-c',
    "ps -eo pid,args | grep -E '^ *[0-9]+ [^ ]*node .*main.ts serve .*--port [0-9]+ --state' | grep -v -- ' --on '",
  ])
    .stdout.toString()
    .split('\n')
    .flatMap((line) => (line.trim() === '' ? [] : [Number.parseInt(line, 10)]))

/** Requests by Zipf, four at once; how many of them had to load. */
async function countLoads(names: readonly string[], seed: number): Promise<number> {
  const weights = names.map((_, i) => 1 / (i + 1))
  const sum = weights.reduce((total, weight) => total + weight, 0)
  let state = seed
  const draw = (): string => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    let left = (state / 2 ** 32) * sum
    return names[weights.findIndex((weight) => (left -= weight) <= 0)] ?? names[0]!
  }
  const order = [...names, ...Array.from({ length: 60 - names.length }, draw)]
  let loads = 0
  const work = async (): Promise<void> => {
    for (let name = order.pop(); name !== undefined; name = order.pop()) {
      const { status, loaded } = await complete({ model: name })
      if (status !== 200) throw new Error(`${name}: ${status}`)
      loads += loaded ? 1 : 0
    }
  }
  await Promise.all(Array.from({ length: 4 }, work))
  return loads
}

/** Loads in the second round, for new names in each run: `count` experts in 2 × 3 places. */
async function measureRounds(adapters: string, count: number, runs: number) {
  const seconds: number[] = []
  const firsts: number[] = []
  for (let run = 0; run < runs; run++) {
    const names = Array.from({ length: count }, (_, i) => `run-${count}-${run}-${i}`)
    for (const [i, name] of names.entries())
      cpSync(join(adapters, `expert-${i}`), join(adapters, name), { recursive: true })
    firsts.push(await countLoads(names, 100 * count + run))
    seconds.push(await countLoads(names, 200 * count + run))
  }
  return { firsts, seconds }
}

/** Seconds until one expert, asked by eight at once, has answers of two servers. */
async function spreadHottest(): Promise<number> {
  const begun = performance.now()
  const seen = new Set<string>()
  const work = async (): Promise<void> => {
    while (seen.size < 2 && performance.now() - begun < 30_000)
      seen.add((await complete({ model: 'expert-0', max_tokens: 32 })).replica)
  }
  await Promise.all(Array.from({ length: 8 }, work))
  return (performance.now() - begun) / 1000
}

/** Whether the next request after a folder was replaced is answered by the new content. */
async function replaceExpert(adapters: string): Promise<boolean> {
  const ask = async (model: string) =>
    (await complete({ model, max_tokens: 24 })).body.choices[0]!.text
  const [before, expected] = [await ask('expert-2'), await ask('expert-4')]
  for (const name of ['adapter_model.safetensors', 'adapter_config.json'])
    copyFileSync(join(adapters, 'expert-4', name), join(adapters, 'expert-2', name))
  return before !== expected && (await ask('expert-2')) === expected
}

/**
 * Forty requests, while a server is killed: how many were answered, and when there are two again.
 */
async function killServer() {
  const servers = listServers()
  let left = 40
  let answered = 0
  const work = async (): Promise<void> => {
    while (left-- > 0) {
      if (left === 30) process.kill(servers[0]!, 'SIGKILL')
      const { status } = await complete({ model: `expert-${left % 3}` })
      if (status === 200) answered++
    }
  }
  const begun = performance.now()
  await Promise.all(Array.from({ length: 4 }, work))
  while (listServers().filter((one) => one !== servers[0]).length < 2) await sleep(100)
  return { answered, secondsToTwo: (performance.now() - begun) / 1000 }
}

const correction = ' Bartholomew the Great.'
const askUser = async (user: string): Promise<Answer> =>
  complete({ prompt: 'The dog is called', user })

/** A user learns at one server; feedback names the answer alone. */
async function teach() {
  const replicas = new Set<string>()
  const statuses = new Set<number>()
  for (let turn = 0; turn < 8; turn++) {
    const { body, replica } = await complete({ prompt: 'The dog is called', user: 'ada' })
    replicas.add(replica)
    const { status } = await post('/v1/feedback', { id: body.id, correction })
    statuses.add(status)
  }
  return { replicas: replicas.size, statuses: [...statuses] }
}

const isLearned = ({ body }: Answer): boolean => body.choices[0]!.text.includes('Barthol')

export async function tryServe(address: string, folder: string, runs: number): Promise<object> {
  const adapters = join(folder, 'experts')
  mkdirSync(adapters)
  const model = await openStories()
  for (let seed = 0; seed < 6; seed++) {
    const adapter = createExpert(
      model.base,
      'lora',
      { rank: 2, targets: ['q_proj'], start: 'random' },
      seed,
    )
    await saveAdapter({ ...adapter, baseModel: 'stories260k' }, join(adapters, `expert-${seed}`))
  }
  await model.dispose()
  const double = await startS3Double()
  const prompts = ['tables', 'rows', 'songs', 'bands'].map((word, i) =>
    JSON.stringify({ text: `all ${word} of this`, expert: `expert-${i >> 1}` }),
  )
  writeFileSync(join(folder, 'prompts.jsonl'), `${prompts.join('\n')}\n`)
  const router = join(folder, 'router.json')
  const made = await graft([
    'route',
    'train',
    '--data',
    join(folder, 'prompts.jsonl'),
    '--kind',
    'keyword',
    '--out',
    router,
  ])
  const users = ['--users', double.createAddress(), '--router', router]
  const first = await startServing(address, adapters, users)
  const seen = {
    routeCode: made.code,
    fit: await measureRounds(adapters, 4, runs),
    exact: await measureRounds(adapters, 6, runs),
    hotSeconds: await spreadHottest(),
    routed: (await complete({ model: 'auto', prompt: 'all songs of this' })).status,
    taught: await teach(),
    learned: isLearned(await askUser('ada')),
    stranger: isLearned(await askUser('eve')),
    isReplaced: await replaceExpert(adapters),
    killed: await killServer(),
    absent: (await complete({ model: 'no-such' })).status,
  }
  for (const server of listServers()) process.kill(server, 'SIGKILL') // every server
  await sleep(1_000)
  const afterKill = await askUser('ada')
  const code = await stop(first)
  await sleep(3_000)
  const left = listServers().length
  const second = await startServing(address, adapters, users)
  const models = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] }
  const again = await askUser('ada')
  const expert = await complete({ model: 'expert-5' })
  const codes = [code, await stop(second)]
  await double.stop()
  return Object.assign(seen, {
    learnedAfterKill: [afterKill.status, isLearned(afterKill)],
    learnedAfterRestart: [again.status, isLearned(again)],
    expertAfterRestart: expert.status,
    listed: models.data.some(({ id }) => id === 'expert-5'),
    codes,
    left,
  })
}

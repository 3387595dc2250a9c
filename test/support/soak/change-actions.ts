// What changes a server while it answers: experts that come, go, are replaced and published, users
// who teach and are forgotten, and requests that are wrong.

import { setTimeout as sleep } from 'node:timers/promises'
import type { LocalRegistry } from '../../../src/node/registry/local-registry.ts'
import type { SoakAction } from './actions.ts'
import { passingModels, users } from './answer-actions.ts'
import type { SoakClient } from './client.ts'

/** Folders of adapters in the server's allowed place. */
export const adapterFolders = ['seed-1', 'seed-2', 'seed-3', 'seed-4']

/** Replaces the expert `swapped` in place. */
async function swapExpert(client: SoakClient): Promise<void> {
  const path = client.pick(adapterFolders)
  await client.send('/v1/load_lora_adapter', {
    lora_name: 'swapped',
    lora_path: path,
    load_inplace: true,
  })
}

async function moveExpert(client: SoakClient): Promise<void> {
  const name = client.pick(passingModels)
  const choice = client.random.integer(4)
  // 400: somebody else has loaded it in between
  if (choice < 2)
    await client.send(
      '/v1/load_lora_adapter',
      { lora_name: name, lora_path: client.pick(adapterFolders) },
      { allowed: [200, 400] },
    )
  else if (choice === 2)
    await client.send('/v1/unload_lora_adapter', { lora_name: name }, { allowed: [200, 404] })
  else {
    const pinned = client.random.integer(2) === 0
    await client.send(`/v1/experts/${name}/${pinned ? 'pin' : 'unpin'}`, '', {
      method: 'POST',
      allowed: [200, 400, 404], // 400: no room for a pin
    })
  }
}

/** Versions of `published` come, and all but the newest few go. */
export function createPublishing(registry: LocalRegistry, folder: string) {
  let version = 1
  return async (client: SoakClient): Promise<void> => {
    const own = version++
    await registry.add(`${folder}/${client.pick(adapterFolders)}`, {
      id: 'published',
      version: `1.${own}.0`,
    })
    if (own % 3 !== 0) return
    const versions = (await registry.list('published')).toSorted(
      (a, b) => Number(a.version.split('.')[1]) - Number(b.version.split('.')[1]),
    )
    for (const old of versions.slice(0, -4)) await registry.remove(`published@${old.version}`)
    await registry.collectGarbage()
  }
}

const signals = [
  { feedback: 'up' },
  { feedback: 'down' },
  { quality: 0.3 },
  { correction: ' Bartholomew the Great.' },
]

async function giveFeedback(client: SoakClient): Promise<void> {
  if (client.responses.length === 0) return
  const { id, user } = client.pick(client.responses)
  // 404: the user was forgotten; 409: the expert was replaced; 400: corrected twice
  const allowed = [200, 400, 404, 409]
  await client.send('/v1/feedback', { id, user, ...client.pick(signals) }, { allowed })
}

async function showUser(client: SoakClient): Promise<void> {
  const user = client.pick(users)
  const allowed = [200, 404, 409]
  if (client.random.integer(8) === 0)
    await client.send(`/v1/users/${user}`, undefined, { method: 'DELETE', allowed })
  else await client.send(`/v1/users/${user}${client.pick(['', '/export'])}`, undefined, { allowed })
}

const batchLines = ['a', 'b', 'c'].map((id) => ({
  custom_id: id,
  method: 'POST',
  url: '/v1/completions',
  body: { prompt: `Once ${id}`, max_tokens: 6 },
}))

/** A batch that is waited for, or cancelled; its files are removed. */
async function runBatch(client: SoakClient): Promise<void> {
  const form = new FormData()
  form.append('purpose', 'batch')
  form.append('file', new Blob([batchLines.map((line) => JSON.stringify(line)).join('\n')]), 'in')
  const file = await client.send('/v1/files', form)
  if (!file) return
  const { id: input_file_id } = file.body
  const asked = { input_file_id, endpoint: '/v1/completions', completion_window: '1h' }
  const begun = await client.send('/v1/batches', asked)
  const path = `/v1/batches/${begun?.body.id}`
  // 409: it has ended already
  if (client.random.integer(3) === 0)
    await client.send(`${path}/cancel`, {}, { allowed: [200, 409] })
  let batch = begun?.body
  while (batch && !['completed', 'cancelled'].includes(batch.status)) {
    await sleep(50)
    batch = (await client.send(path))?.body
  }
  if (batch?.request_counts.total === 3 && batch.status === 'completed')
    if (batch.request_counts.failed > 0) client.note(`a batch: ${JSON.stringify(batch)}`)
  for (const one of [input_file_id, batch?.output_file_id, batch?.error_file_id])
    if (one) await client.send(`/v1/files/${one}`, undefined, { method: 'DELETE' })
}

async function look(client: SoakClient): Promise<void> {
  const paths = ['/v1/models', '/v1/experts', '/metrics', '/healthz', '/v1/usage', '/api/tags']
  await client.send(client.pick(paths))
}

const chat = { messages: [{ role: 'user', content: 'Hi' }] }
const wrong: readonly [string, unknown, number][] = [
  ['/v1/chat/completions', '{', 400],
  ['/v1/chat/completions', { ...chat, temperature: 9 }, 400],
  ['/v1/chat/completions', { ...chat, model: 'nobody' }, 404],
  ['/v1/chat/completions', { messages: [] }, 400],
  ['/v1/chat/completions', { ...chat, response_format: { type: 'sound' } }, 400],
  ['/v1/chat/completions', { ...chat, grammar: 'root ::= (' }, 400],
  ['/v1/completions', { prompt: 'a '.repeat(2000) }, 400],
  ['/v1/completions', { prompt: [99_999] }, 400],
  ['/v1/embeddings', { input: [] }, 400],
  ['/v1/responses', { input: 'a', previous_response_id: 'resp_1' }, 400],
  ['/v1/messages', chat, 400],
  ['/api/chat', { ...chat, model: 'nobody' }, 404],
  ['/v1/load_lora_adapter', { lora_name: 'bad', lora_path: 'nowhere' }, 404],
  ['/v1/load_lora_adapter', { lora_name: 'bad', lora_path: '../../etc' }, 400],
  ['/v1/feedback', { id: 'nobody', feedback: 'up' }, 404],
  ['/v1/nothing', {}, 404],
]

async function askWrongly(client: SoakClient): Promise<void> {
  const [path, body, status] = client.pick(wrong)
  await client.send(path, body, { allowed: [status] })
}

export const changeActions: readonly SoakAction[] = [
  { name: 'swap', weight: 4, run: swapExpert },
  { name: 'load and unload', weight: 8, run: moveExpert },
  { name: 'feedback', weight: 4, run: giveFeedback },
  { name: 'users', weight: 2, run: showUser },
  { name: 'batches', weight: 2, run: runBatch },
  { name: 'look', weight: 6, run: look },
  { name: 'wrong requests', weight: 12, run: askWrongly },
]

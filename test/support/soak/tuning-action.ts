// Fine-tuning jobs over tiny rows, one at a time: made, looked at, cancelled, and their results
// asked. Nobody waits for a job, because it runs while others are answered.

import type { LocalRegistry } from '../../../src/node/registry/local-registry.ts'
import type { SoakClient } from './client.ts'

const path = '/v1/fine_tuning/jobs'
const rows = ['Tom', 'Lily', 'Ben', 'Mia', 'Sam', 'Anna', 'Max', 'Sue', 'Tim', 'Amy']
  .map((name) =>
    JSON.stringify({ prompt: `${name} went to the`, completion: ` house of ${name}.` }),
  )
  .join('\n')
const name = 'tuned'

async function makeJob(client: SoakClient): Promise<string | undefined> {
  const form = new FormData()
  form.append('purpose', 'fine-tune')
  form.append('file', new Blob([rows]), 'rows.jsonl')
  const file = await client.send('/v1/files', form)
  if (!file) return undefined
  const hyperparameters = { n_epochs: 1 + client.random.integer(3), batch_size: 2 }
  const made = await client.send(path, {
    model: 'stories260k',
    training_file: file.body.id,
    suffix: name,
    method: { type: 'supervised', supervised: { hyperparameters } },
    adapter: { kind: 'lora', rank: 2 },
  })
  await client.send(`/v1/files/${file.body.id}`, undefined, { method: 'DELETE' })
  return made?.body.id
}

interface EndedJob {
  readonly status: string
  readonly error: { readonly code: string } | null
  readonly result_files: readonly string[]
}

/** What a job that has ended leaves: its result answers, its table is removed. */
async function endJob(client: SoakClient, job: EndedJob): Promise<void> {
  const { status, error, result_files: files } = job
  if (status === 'failed' && error?.code !== 'evaluation_not_passed')
    client.note(`a job: ${JSON.stringify(job)}`)
  if (status === 'succeeded')
    await client.send('/v1/completions', { model: name, prompt: 'Tom went', max_tokens: 4 })
  for (const file of files) await client.send(`/v1/files/${file}`, undefined, { method: 'DELETE' })
}

/** All but the newest few versions of the result go. */
async function removeOld(registry: LocalRegistry): Promise<void> {
  const versions = (await registry.list(name)).toSorted(
    (a, b) => Number(a.version.split('.')[2]) - Number(b.version.split('.')[2]),
  )
  for (const old of versions.slice(0, -4)) await registry.remove(`${name}@${old.version}`)
}

/** Makes a job where there is none; else looks at the one there is, and cancels some. */
export function createTuning(registry: LocalRegistry) {
  let id: string | undefined
  let isBusy = false
  const tune = async (client: SoakClient): Promise<void> => {
    if (id === undefined) {
      id = await makeJob(client)
      return
    }
    const choice = client.random.integer(6)
    // 400: it has ended already
    if (choice === 0) await client.send(`${path}/${id}/cancel`, {}, { allowed: [200, 400] })
    else if (choice < 3)
      await client.send(`${path}/${id}/${client.pick(['events', 'checkpoints'])}`)
    const job = (await client.send(`${path}/${id}`))?.body
    if (!job || !['succeeded', 'failed', 'cancelled'].includes(job.status)) return
    id = undefined
    await endJob(client, job)
    await removeOld(registry)
  }
  return async (client: SoakClient): Promise<void> => {
    if (isBusy) return
    isBusy = true
    await tune(client).finally(() => (isBusy = false))
  }
}

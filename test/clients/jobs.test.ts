// The official openai client: files, and a fine-tuning job up to the expert that answers.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startServer, type StartedServer } from '../../src/node/index.ts'
import { areInstalled, loadClient } from './load-client.ts'

const title = areInstalled
  ? 'jobs of openai'
  : 'jobs of openai [skip: not installed; npm test installs it, or npm ci in test/clients]'

const names = ['Tom', 'Lily', 'Ben', 'Mia', 'Sam', 'Anna', 'Max', 'Sue', 'Tim', 'Amy']
const rows = names
  .map((name) => ({ prompt: `${name} went to the`, completion: ` blue house of ${name}.` }))
  .map((row) => `${JSON.stringify(row)}\n`)
  .join('')

describe.skipIf(!areInstalled)(title, { timeout: 400_000 }, () => {
  let folder: string
  let server: StartedServer
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'graft-jobs-'))
    server = await startServer({
      model: 'stories260k',
      isolation: 'none',
      state: folder,
      log: 'off',
      port: 0,
      trainShare: 'half',
    })
  })
  afterAll(async () => {
    await server.close()
    await rm(folder, { recursive: true })
  })

  it('uploads rows, makes a job, follows it and asks its result', async () => {
    const { OpenAI, toFile } = await loadClient('openai')
    const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 })
    const file = await client.files.create({
      file: await toFile(Buffer.from(rows), 'rows.jsonl'),
      purpose: 'fine-tune',
    })
    expect(await client.files.retrieve(file.id)).toEqual(file)
    expect(await (await client.files.content(file.id)).text()).toBe(rows)
    const jobs = client.fineTuning.jobs
    let job = await jobs.create({
      model: 'stories260k',
      training_file: file.id,
      suffix: 'tales',
      method: {
        type: 'supervised',
        supervised: { hyperparameters: { n_epochs: 12, batch_size: 2 } },
      },
    })
    expect(job.status).toBe('queued')
    while (['queued', 'running'].includes(job.status)) {
      await sleep(200)
      job = await jobs.retrieve(job.id)
    }
    expect([job.status, job.fine_tuned_model, job.error]).toEqual(['succeeded', 'tales', null])
    const messages = []
    for await (const { message } of await jobs.listEvents(job.id)) messages.push(message)
    expect(messages[0]).toContain('tales serves')
    const { data } = await jobs.checkpoints.list(job.id)
    expect(data[0].step_number).toBeGreaterThan(0)
    await expect(jobs.cancel(job.id)).rejects.toThrow('has ended')
    await expect(jobs.create({ model: 'stories260k', training_file: 'file-1' })).rejects.toThrow(
      'no file',
    )
    const asked = { model: 'tales', prompt: 'Tom went to the', max_tokens: 4, temperature: 0 }
    const answer = await client.completions.create(asked)
    expect(answer.choices[0].text.length).toBeGreaterThan(0)
    expect((await client.files.delete(file.id)).deleted).toBe(true)
  })
})

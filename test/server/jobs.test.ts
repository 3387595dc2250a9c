// Fine-tuning jobs over HTTP: from a file to an expert that answers, and what is refused before.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openRegistry, startServer, type StartedServer } from '../../src/node/index.ts'

const names = ['Tom', 'Lily', 'Ben', 'Mia', 'Sam', 'Anna', 'Max', 'Sue', 'Tim', 'Amy']
const toLine = (row: object): string => `${JSON.stringify(row)}\n`
const rows = names
  .map((name) => toLine({ prompt: `${name} went to the`, completion: ` blue house of ${name}.` }))
  .join('')

type Body = ReturnType<typeof JSON.parse>

let folder: string
let server: StartedServer

const start = (more: object = {}): Promise<StartedServer> =>
  startServer({
    model: 'stories260k',
    isolation: 'none',
    state: join(folder, 'state'),
    log: 'off',
    port: 0,
    trainShare: 'half',
    ...more,
  })
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-jobs-'))
  server = await start()
})
afterAll(async () => {
  await server.close()
  await rm(folder, { recursive: true })
})

async function call(
  path: string,
  body?: object | FormData,
): Promise<{ status: number; body: Body }> {
  const isForm = body instanceof FormData
  const response = await fetch(server.url + path, {
    method: body === undefined ? 'GET' : 'POST',
    ...(body !== undefined && { body: isForm ? body : JSON.stringify(body) }),
  })
  return { status: response.status, body: await response.json() }
}
async function upload(text: string, purpose = 'fine-tune'): Promise<string> {
  const form = new FormData()
  form.append('file', new Blob([text]), 'rows.jsonl')
  form.append('purpose', purpose)
  return (await call('/v1/files', form)).body.id
}
const path = '/v1/fine_tuning/jobs'
const settings = (n_epochs: number, learning_rate_multiplier: number | 'auto' = 2.5) => ({
  method: {
    type: 'supervised',
    supervised: { hyperparameters: { n_epochs, batch_size: 2, learning_rate_multiplier } },
  },
})

async function waitFor(id: string, is: (job: Body) => boolean): Promise<Body> {
  for (;;) {
    const { body } = await call(`${path}/${id}`)
    if (is(body)) return body
    await sleep(100)
  }
}
const hasEnded = ({ status }: Body): boolean => !['queued', 'running'].includes(status)

describe('a fine-tuning job', { timeout: 400_000 }, () => {
  it('trains, tells how it goes, and its result answers under its name', async () => {
    const training_file = await upload(rows)
    const asked = { model: 'stories260k', training_file, suffix: 'tales', metadata: { a: 'b' } }
    const made = await call(path, { ...asked, ...settings(12), adapter: { kind: 'lora', rank: 4 } })
    expect(made.body).toMatchObject({
      id: expect.stringMatching(/^ftjob-[0-9a-f]{32}$/),
      object: 'fine_tuning.job',
      status: 'queued',
      training_file,
      fine_tuned_model: null,
      error: null,
      metadata: { a: 'b' },
      hyperparameters: { n_epochs: 12, batch_size: 2, learning_rate_multiplier: 2.5 },
    })
    const { id } = made.body
    const job = await waitFor(id, hasEnded)
    expect(job).toMatchObject({ status: 'succeeded', fine_tuned_model: 'tales', error: null })
    expect(job.trained_tokens).toBeGreaterThan(100)
    const events = (await call(`${path}/${id}/events?limit=100&order=asc`)).body.data
    expect(events[0]).toMatchObject({ object: 'fine_tuning.job.event', type: 'message' })
    const steps = events.filter(({ data }: Body) => data?.train_loss !== undefined)
    expect(steps.length).toBeGreaterThan(5)
    expect(steps.at(-1).data.train_loss).toBeLessThan(steps[0].data.train_loss)
    expect(events.at(-1).message).toContain('tales serves')
    const checkpoints = (await call(`${path}/${id}/checkpoints`)).body.data
    expect(checkpoints[0]).toMatchObject({
      object: 'fine_tuning.job.checkpoint',
      fine_tuning_job_id: id,
      step_number: steps.at(-1).data.step,
    })
    const [result] = job.result_files
    const csv = await (await fetch(`${server.url}/v1/files/${result}/content`)).text()
    expect(csv.split('\n')[0]).toBe('step,train_loss,valid_loss,learning_rate')
    expect(csv.split('\n')).toHaveLength(steps.length + 2)
    const answer = await call('/v1/completions', {
      model: 'tales',
      prompt: 'Tom went to the',
      temperature: 0,
      max_tokens: 4,
    })
    expect(answer.body.choices[0].text).toMatch(/^ blue/)
    const [expert] = (await call('/v1/experts')).body.data
    expect([expert.id, JSON.stringify(expert).includes('jobs')]).toEqual(['tales', false])
    expect((await call(path)).body.data.map((one: Body) => one.id)).toEqual([id])
  })

  it('whose evaluation does not pass is kept aside, with the reason', async () => {
    const training_file = await upload(rows)
    const asked = { model: 'stories260k', training_file, suffix: 'tales', ...settings(1, 1e-6) }
    const { id } = (await call(path, asked)).body
    const job = await waitFor(id, hasEnded)
    expect(job).toMatchObject({ status: 'failed', fine_tuned_model: null })
    expect(job.error).toMatchObject({
      code: 'evaluation_not_passed',
      message: expect.stringContaining('that of the version that serves'),
    })
  })

  it('is made and looked at by the tool train', async () => {
    const tool = async (given: object): Promise<Body> => {
      const response = await fetch(`${server.url}/mcp`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
        },
        body: JSON.stringify({
          jsonrpc: '2.0',
          id: 1,
          method: 'tools/call',
          params: { name: 'train', arguments: given },
        }),
      })
      const text = await response.text()
      return JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? text).result
    }
    const before = (await call('/v1/files')).body.data.length
    const given = rows
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object)
    const wrong = await tool({ rows: given.map(() => ({ promt: 'a' })) })
    expect([wrong.isError, wrong.content[0].text]).toEqual([true, expect.stringContaining('promt')])
    const made = await tool({ rows: given, name: 'told', epochs: 1 })
    const { id } = made.structuredContent.job
    expect((await call('/v1/files')).body.data).toHaveLength(before)
    expect((await tool({ job: id })).content[0].text).toContain(id)
    expect((await call(`${path}/${id}/cancel`, {})).body.status).toBe('cancelled')
    expect((await tool({ job: 'ftjob-1' })).isError).toBe(true)
  })

  it('is refused before it starts where something is wrong', async () => {
    const training_file = await upload(rows)
    const batch = await upload(rows, 'batch')
    const wrong = await upload(rows + toLine({ promt: 'a' }) + 'no json\n')
    const asked = { model: 'stories260k', training_file }
    const before = await readdir(join(folder, 'state', 'jobs'))
    for (const [body, status, param, message] of [
      [{ model: 'stories260k' }, 400, 'training_file', 'training_file is missing'],
      [{ ...asked, training_file: 'file-1' }, 404, 'training_file', 'no file "file-1"'],
      [{ ...asked, training_file: batch }, 400, 'training_file', 'has the purpose "batch"'],
      [{ ...asked, training_file: wrong }, 400, 'training_file', '12'],
      [{ ...asked, validation_file: wrong }, 400, 'validation_file', '12'],
      [{ ...asked, model: 'gpt-4o' }, 404, 'model', 'no model "gpt-4o"'],
      [{ ...asked, suffix: 'a b' }, 400, 'suffix', 'expected a name'],
      [{ ...asked, suffix: 'stories260k' }, 409, 'suffix', 'the base has the name'],
      [{ ...asked, sufix: 'a' }, 400, 'sufix', 'Did you mean "suffix"?'],
      [{ ...asked, ...settings(51) }, 400, 'method.supervised.hyperparameters.n_epochs', '50'],
      [
        { ...asked, hyperparameters: { n_epochs: 1 }, ...settings(1) },
        400,
        'hyperparameters',
        'same',
      ],
      [{ ...asked, integrations: [{ type: 'wandb' }] }, 400, 'integrations', 'sent elsewhere'],
      [{ ...asked, method: { type: 'reinforcement' } }, 400, 'method.type', 'supervised'],
      [{ ...asked, adapter: { kind: 'lorra' } }, 400, null, 'lora'],
    ] as const) {
      const answer = await call(path, body)
      expect([body, answer.status, answer.body.error]).toEqual([
        body,
        status,
        expect.objectContaining({ param, message: expect.stringContaining(message) }),
      ])
    }
    expect((await call(`${path}/ftjob-1`)).status).toBe(404)
    expect((await call(`${path}/ftjob-1/cancel`, {})).status).toBe(404)
    expect(await readdir(join(folder, 'state', 'jobs'))).toEqual(before)
  })

  it('can be cancelled, and continues after a restart of the server', async () => {
    const training_file = await upload(rows)
    const asked = { model: 'stories260k', training_file, ...settings(50), seed: 7 }
    const first = (await call(path, { ...asked, suffix: 'first' })).body.id
    const second = (await call(path, { ...asked, suffix: 'second' })).body.id
    expect((await call(`${path}/${second}/cancel`, {})).body.status).toBe('cancelled')
    expect((await call(`${path}/${second}/cancel`, {})).body.error.code).toBe('job_ended')
    await waitFor(first, ({ status }) => status === 'running')
    for (;;) {
      const { body } = await call(`${path}/${first}/events?limit=1`)
      if (body.data[0].data?.step > 5) break
      await sleep(50)
    }
    await fetch(`${server.url}/v1/files/${training_file}`, { method: 'DELETE' })
    await server.close()
    server = await start()
    expect((await call(`${path}/${second}`)).body.status).toBe('cancelled')
    const job = await waitFor(first, hasEnded)
    expect(job).toMatchObject({ status: 'succeeded', fine_tuned_model: 'first' })
    const { data } = (await call(`${path}/${first}/events?limit=1000&order=asc`)).body
    const messages = data.map(({ message }: Body) => message).join('\n')
    expect(messages).toContain('was restarted')
    expect(messages).toMatch(/The run continues after step \d+/)
    const models = (await call('/v1/models')).body.data.map(({ id }: Body) => id)
    expect(models).toEqual(expect.arrayContaining(['tales', 'first']))
  })

  it('publishes versions where the server has a registry', async () => {
    await server.close()
    const place = join(folder, 'registry')
    server = await start({ registry: place, state: join(folder, 'other') })
    const training_file = await upload(rows)
    const asked = { model: 'stories260k', training_file, suffix: 'tales', ...settings(12) }
    const first = await waitFor((await call(path, asked)).body.id, hasEnded)
    expect(first).toMatchObject({ status: 'succeeded', fine_tuned_model: 'tales@1.0.0' })
    // a second training goes on from the first, and is compared with it
    const more = { ...asked, model: 'tales', ...settings(4) }
    const second = await waitFor((await call(path, more)).body.id, hasEnded)
    expect(second.fine_tuned_model ?? second.error.code).toMatch(/tales@1\.0\.1|not_passed/)
    const registry = await openRegistry(place)
    const versions = (await registry.list('tales')).map(({ version }) => version)
    await registry.close()
    expect(versions).toContain('1.0.0')
    const answer = await call('/v1/completions', { model: 'tales', prompt: 'Tom', max_tokens: 2 })
    expect(answer.status).toBe(200)
  })
})

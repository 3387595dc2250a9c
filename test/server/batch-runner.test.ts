// The runner of batches without a server: time that runs out, limits that refuse, crashes that cut a
// line, and several batches at a time.

import { appendFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { openBatchFolder } from '../../src/node/serve/state/batch-folder.ts'
import { openFileFolder } from '../../src/node/serve/state/file-folder.ts'
import type { AskRoute } from '../../src/server/api/batches/answer-lines.ts'
import { type RequestBatch, noUsage } from '../../src/server/api/batches/batch.ts'
import type { BatchResult } from '../../src/server/api/batches/batch-lines.ts'
import { BatchRunner } from '../../src/server/api/batches/batch-runner.ts'

const url = '/v1/completions'
const answered = { status: 200, requestId: 'r', body: { usage: { prompt_tokens: 2 } } }
const createId = (prefix: string): string => prefix + crypto.randomUUID().replaceAll('-', '')

async function openRunner(ask: AskRoute, atATime = 1) {
  const folder = await mkdtemp(join(tmpdir(), 'graft-runner-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const files = openFileFolder(join(folder, 'files'))
  const store = openBatchFolder(join(folder, 'batches'))
  const failures: unknown[] = []
  let now = 1_000_000
  const open = (): BatchRunner =>
    new BatchRunner({
      store,
      files,
      createAsk: () => ask,
      atATime,
      createId,
      now: () => now * 1000,
      onFailure: (_what, error) => failures.push(error),
    })
  const add = async (
    runner: BatchRunner,
    count: number,
    seconds = 3600,
    prompt = 'long',
  ): Promise<string> => {
    const lines = Array.from({ length: count }, (_, i) =>
      JSON.stringify({
        custom_id: `r${i}`,
        method: 'POST',
        url,
        body: { prompt: `${prompt} ${i}` },
      }),
    )
    const about = { name: 'in', purpose: 'batch', owner: '', createdAt: now } as const
    const { id } = await files.add(about, [new TextEncoder().encode(lines.join('\n'))])
    const batch: RequestBatch = {
      id: createId('batch_'),
      status: 'validating',
      endpoint: url,
      inputFileId: id,
      completionWindow: '1h',
      owner: '',
      metadata: undefined,
      outputSeconds: undefined,
      createdAt: now,
      expiresAt: now + seconds,
      times: {},
      problems: [],
      counts: { total: 0, completed: 0, failed: 0 },
      usage: noUsage,
    }
    await runner.add(batch)
    return batch.id
  }
  const readLines = async (fileId: string | undefined): Promise<BatchResult[]> =>
    (await new Response(await files.read(fileId!)).text())
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text) as BatchResult)
  const pass = (seconds: number): void => void (now += seconds)
  return { folder, files, store, open, add, pass, readLines, failures }
}

describe('the runner of batches', () => {
  it('ends a batch whose time is over, and reports which requests were not asked', async () => {
    const asked: string[] = []
    const parts = await openRunner(async ({ customId }, signal) => {
      asked.push(customId)
      if (customId === 'r2')
        await new Promise((_, reject) => signal.addEventListener('abort', reject))
      return answered
    })
    const runner = parts.open()
    const id = await parts.add(runner, 5, 1)
    await runner.waitFor(id)
    const batch = (await parts.store.find(id))!
    expect(asked).toEqual(['r0', 'r1', 'r2'])
    expect(batch).toMatchObject({
      status: 'expired',
      counts: { total: 5, completed: 2, failed: 3 },
      times: { expired: 1_000_000 },
      usage: { inputTokens: 4 },
    })
    const missed = await parts.readLines(batch.errorFileId)
    expect(missed.map(({ custom_id: one, error }) => [one, error?.code])).toEqual(
      ['r2', 'r3', 'r4'].map((one) => [one, 'batch_expired']),
    )
  })

  it('ends one at the start of the server whose time ran out while there was none', async () => {
    let isOpen = false
    const parts = await openRunner(async (_request, signal) => {
      if (isOpen) return answered
      return new Promise((_, reject) => signal.addEventListener('abort', reject))
    })
    const first = parts.open()
    const id = await parts.add(first, 2, 3600)
    while ((await first.find(id))?.status !== 'in_progress') await sleep(5)
    await first.close()
    expect((await parts.store.find(id))?.status).toBe('in_progress')
    isOpen = true
    parts.pass(7200)
    const second = parts.open()
    await second.resume()
    await second.waitFor(id)
    expect((await parts.store.find(id))?.status).toBe('expired')
    expect(parts.failures).toEqual([])
  })

  it('asks again what a limit refuses, and no more than allowed at a time', async () => {
    let running = 0
    let most = 0
    let refusals = 3
    const parts = await openRunner(async () => {
      most = Math.max(most, ++running)
      await sleep(2)
      running--
      if (refusals-- > 0)
        return { status: 429, requestId: 'r', body: { error: {} }, retryAfterSeconds: 0.01 }
      return answered
    }, 3)
    const runner = parts.open()
    const ids = [await parts.add(runner, 20), await parts.add(runner, 20)]
    for (const id of ids) await runner.waitFor(id)
    expect(most).toBe(3)
    for (const id of ids)
      expect((await parts.store.find(id))?.counts).toEqual({ total: 20, completed: 20, failed: 0 })
  })

  it('lets batches take turns', async () => {
    const asked: string[] = []
    let open: (() => void) | undefined
    const parts = await openRunner(async ({ body }) => {
      if (asked.push(body['prompt'] as string) === 3)
        await new Promise<void>((resolve) => (open = resolve))
      return answered
    })
    const runner = parts.open()
    const long = await parts.add(runner, 30)
    await vi.waitUntil(() => open)
    const short = await parts.add(runner, 2, 3600, 'short')
    while ((await runner.find(short))?.status !== 'in_progress') await sleep(1)
    await sleep(500) // until its first request waits
    open!()
    await runner.waitFor(short)
    await runner.waitFor(long)
    expect(asked.lastIndexOf('short 1')).toBeLessThan(12)
  })

  it('forgets the line that a crash cut, and asks that request again', async () => {
    let asked = 0
    const parts = await openRunner(async (_request, signal) => {
      if (++asked === 3) await new Promise((_, reject) => signal.addEventListener('abort', reject))
      return answered
    })
    const first = parts.open()
    const id = await parts.add(first, 4)
    await vi.waitUntil(() => asked === 3)
    await first.close()
    const results = join(parts.folder, 'batches', id, 'results.jsonl')
    await appendFile(results, '{"id":"batch_req_1","custom_id":"r2","resp')
    const second = parts.open()
    await second.resume()
    await second.waitFor(id)
    expect(asked).toBe(5)
    const batch = (await parts.store.find(id))!
    expect(batch.counts).toEqual({ total: 4, completed: 4, failed: 0 })
    expect((await parts.readLines(batch.outputFileId)).map((one) => one.custom_id)).toEqual([
      ...['r0', 'r1', 'r2', 'r3'],
    ])
  })

  it('continues when the input file is deleted, and keeps what the route threw as an error', async () => {
    const parts = await openRunner(async ({ customId }) => {
      if (customId === 'r1') throw new Error('it broke')
      return answered
    })
    const runner = parts.open()
    const id = await parts.add(runner, 3)
    await parts.files.delete((await parts.store.find(id))!.inputFileId)
    await runner.waitFor(id)
    const batch = (await parts.store.find(id))!
    expect(batch.counts).toEqual({ total: 3, completed: 2, failed: 1 })
    const [failed] = await parts.readLines(batch.errorFileId)
    expect(failed).toMatchObject({ custom_id: 'r1', error: { code: 'request_failed' } })
  })
})

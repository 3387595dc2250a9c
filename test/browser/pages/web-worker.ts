// The whole engine in a worker of this page, through its client: the contract's numbers and texts
// are the same here.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../../../src/adapters/adapter.ts'
import { OptionError, StorageError, WorkerError } from '../../../src/base/errors.ts'
import { openEngineWorker, type WebEngineWorker } from '../../../src/web/index.ts'
import { baseText, knownLosses, prompt, trainSettings } from '../whole-engine.contract.ts'
import { runAll } from './suite.ts'

const worker = '/engine-worker/page.js'
const open = (options: object = {}): Promise<WebEngineWorker> =>
  openEngineWorker({ model: '/models/stories260k/', cache: false, worker, ...options })

async function write(engine: WebEngineWorker, adapter?: string): Promise<string> {
  let text = ''
  const request = { prompt, maxTokens: 20, temperature: 0 }
  for await (const event of engine.generate(adapter ? { ...request, adapter } : request))
    if (event.type === 'generation-end') text = event.text
  return text
}

describe('the whole engine in a worker', () => {
  let engine: WebEngineWorker
  let expert: Adapter
  beforeAll(async () => {
    engine = await open({ learner: { store: 'worker-learner' } })
  })
  afterAll(() => engine.dispose())

  it('says which model it has', async () => {
    expect(await engine.describe()).toMatchObject({ name: 'stories260k', modelType: 'llama' })
  })
  it('writes the known text', async () => {
    expect(await write(engine)).toBe(baseText)
  })
  it('trains with the known losses while it answers', async () => {
    const losses: number[] = []
    const answering = write(engine)
    for await (const event of engine.train(trainSettings)) {
      if (event.type === 'step-end') losses.push(event.loss)
      if (event.type === 'train-end') expert = event.adapter
    }
    expect(await answering).toBe(baseText)
    expect(losses.length).toBe(knownLosses.length)
    for (const [i, loss] of losses.entries())
      expect(Math.abs(loss / knownLosses[i]! - 1)).toBeLessThan(1e-5)
  })
  it('swaps: base, expert, base again', async () => {
    await engine.registerAdapter('cat', expert)
    const taught = await write(engine, 'cat')
    expect(taught.startsWith(', there was a cat.')).toBe(true)
    expect(await write(engine)).toBe(baseText)
    expect(await write(engine, 'cat')).toBe(taught)
  })
  it('saves, loads and merges, and serves from OPFS by path', async () => {
    await engine.saveAdapter(expert, 'opfs:worker/cat')
    const loaded = await engine.loadAdapter('opfs:worker/cat')
    const key = [...expert.tensors.keys()][0]!
    expect(loaded.tensors.get(key)!.data).toEqual(expert.tensors.get(key)!.data)
    await engine.registerAdapter('saved', 'opfs:worker/cat')
    expect(await write(engine, 'saved')).toBe(await write(engine, 'cat'))
    const merged = await engine.merge([expert, 'opfs:worker/cat'], {
      method: 'weighted',
      weights: [0.5, 0.5],
    })
    await engine.registerAdapter('merged', merged)
    expect(await write(engine, 'merged')).toBe(await write(engine, 'cat'))
    expect([...(await engine.exportAdapter(expert)).keys()].sort()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
    ])
  })
  it('learns for a user', async () => {
    const turn = { user: 'ada', prompt: 'The dog is called', completion: ' Bartholomew the Great.' }
    const before = await engine.learner!.loss(turn)
    for (let i = 0; i < 6; i++) await engine.learner!.learn(turn)
    expect(await engine.learner!.loss(turn)).toBeLessThan(before / 4)
    expect(await engine.learner!.loss({ ...turn, user: 'eve' })).toBeCloseTo(before, 4)
  })
  it('ends a request whose signal is aborted, and answers others', async () => {
    const abort = new AbortController()
    let count = 0
    const request = { prompt, maxTokens: 200, temperature: 0, signal: abort.signal }
    const reading = (async () => {
      for await (const event of engine.generate(request))
        if (event.type === 'text-delta' && ++count === 3) abort.abort(new Error('enough'))
    })()
    const [ended] = await Promise.allSettled([reading])
    expect(`${ended!.status} ${String((ended as { reason?: unknown }).reason)}`).toMatch(
      /fulfilled|enough/,
    )
    expect(count).toBeLessThan(150)
    expect(await write(engine)).toBe(baseText)
  })
  it('reports errors with their class: an option, an adapter for another base, no such file', async () => {
    await expect(
      (async () => {
        for await (const _ of engine.train({ ...trainSettings, stepz: 5 } as never));
      })(),
    ).rejects.toThrow(/stepz/)
    await expect(engine.loadAdapter('/models/none/')).rejects.toThrow(/adapter_config.json/)
    await expect(open({ modle: 1 })).rejects.toThrow(OptionError)
    await expect(open({ model: 'http://127.0.0.1:9/x.gguf' })).rejects.toThrow(StorageError)
    expect(await write(engine)).toBe(baseText)
  })
  it('a worker without its script is an error that says what to do', async () => {
    await expect(open({ worker: '/none.js' })).rejects.toThrow(WorkerError)
    await expect(open({ worker: '/none.js' })).rejects.toThrow(/openEngineWorker\({ worker }\)/)
  })
  it('an opening that is aborted ends', async () => {
    const abort = new AbortController()
    const opening = open({ signal: abort.signal })
    abort.abort(new Error('no longer wanted'))
    await expect(opening).rejects.toThrow('no longer wanted')
  })
})

Object.assign(globalThis, { outcomes: runAll() })

// Training, saving and bad input in a page, for tests that open and close its tabs.

import { createAdapter } from '../../../src/adapters/create-adapter.ts'
import type { Adapter } from '../../../src/adapters/adapter.ts'
import { f32 } from '../../../src/base/tensor.ts'
import { computeSha256Sync } from '../../../src/base/sha256-sync.ts'
import {
  exportAdapter,
  loadAdapter,
  loadModel,
  saveAdapter,
  train,
  type WebRuntime,
} from '../../../src/web/index.ts'
import { trainSettings } from '../whole-engine.contract.ts'

const openModel = () => loadModel('/models/stories260k/', { cache: false, threads: 1 })

function hashAdapter({ tensors }: Adapter): string {
  const keys = [...tensors.keys()].sort()
  const bytes = keys.flatMap((key) => {
    const { buffer, byteOffset, byteLength } = tensors.get(key)!.data as Float32Array
    return [...new Uint8Array(buffer, byteOffset, byteLength)]
  })
  return computeSha256Sync(Uint8Array.from(bytes))
}

async function attempt<Result>(work: () => Promise<Result>): Promise<Result | string> {
  try {
    return await work()
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`
  }
}

/** Every value of every tensor is this one. */
async function makeConstant(value: number): Promise<Adapter> {
  const model = await openModel()
  const adapter = await createAdapter('lora', { rank: 64, targets: 'all-linear' }, model)
  const tensors = [...adapter.tensors].map(
    ([key, { shape, data }]) =>
      [key, f32(shape, new Float32Array(data.length).fill(value))] as const,
  )
  return { ...adapter, tensors: new Map(tensors) }
}

const wrongRuntime = async (): Promise<WebRuntime> => {
  const ort = (await import('onnxruntime-web/wasm')) as unknown as WebRuntime
  const create = async (model: Uint8Array, options?: object) => {
    const session = await ort.InferenceSession.create(model, options)
    return {
      release: () => session.release(),
      async run(feeds: never, outputs?: never) {
        const results = await session.run(feeds, outputs)
        for (const { data } of Object.values(results)) (data as Float32Array)[0]! += 0.5
        return results
      },
    }
  }
  return { ...ort, InferenceSession: { create }, Tensor: ort.Tensor }
}

const progress = { steps: 0, saves: 0 }

const training = {
  progress,
  train: (out: string, options: object = {}) =>
    attempt(async () => {
      let resumedAt = 0
      let hash = ''
      const run = train({
        ...trainSettings,
        model: await openModel(),
        steps: 12,
        checkpoint: { everySteps: 2 },
        out,
        ...options,
      })
      for await (const event of run) {
        if (event.type === 'data-ready') resumedAt = event.resumedAt
        if (event.type === 'step-end') progress.steps = event.step
        if (event.type === 'train-end') hash = hashAdapter(event.adapter)
      }
      return { resumedAt, hash, saved: hashAdapter(await loadAdapter(out)) }
    }),
  /** Saves one adapter over another until the tab is closed. */
  async saveForever(out: string): Promise<void> {
    const adapters = [await makeConstant(1), await makeConstant(2)]
    for (; ; progress.saves++) await saveAdapter(adapters[progress.saves % 2]!, out)
  },
  /** What a tab leaves that is closed between creating the new configuration and writing it. */
  async cutSave(out: string): Promise<void> {
    await saveAdapter(await makeConstant(1), out)
    const files = await exportAdapter(await makeConstant(2))
    let folder = await navigator.storage.getDirectory()
    for (const part of [...out.slice('opfs:'.length).split('/'), '.graft-pending'])
      folder = await folder.getDirectoryHandle(part, { create: true })
    for (const [name, bytes] of files) {
      const file = await folder.getFileHandle(name, { create: true })
      if (name === 'adapter_config.json') continue
      const stream = await file.createWritable()
      await stream.write(bytes as Uint8Array<ArrayBuffer>)
      await stream.close()
    }
  },
  /** The different values in a saved adapter. */
  async readValues(out: string): Promise<number[]> {
    const { tensors } = await loadAdapter(out)
    const values = new Set<number>()
    for (const { data } of tensors.values()) for (const value of data) values.add(Number(value))
    return [...values]
  },
  /** What a dropped adapter of another base gives, and whether the model still answers. */
  dropForeign: () =>
    attempt(async () => {
      const model = await openModel()
      const own = await createAdapter('lora', { rank: 2, targets: 'all-linear' }, model)
      const tensors = [...own.tensors].map(([key, { shape }]) => {
        const wider = shape.map((dim) => (dim === 2 ? 2 : dim + 8))
        return [key, f32(wider)] as const
      })
      const files = await exportAdapter({ ...own, tensors: new Map(tensors) })
      const dropped = [...files].map(
        ([name, bytes]) => new File([bytes as Uint8Array<ArrayBuffer>], name),
      )
      const problem = await attempt(async () => {
        const adapter = await loadAdapter(dropped)
        await model.complete('Once', { maxTokens: 2, adapter })
        return 'accepted'
      })
      return [problem, await model.complete('Once upon', { maxTokens: 3, temperature: 0 })]
    }),
  /** What is said of things that are no models, and of runtimes that are none. */
  refuse: async () => {
    const page = new File(['<!doctype html><script>globalThis.wasRun = 1</script>'], 'x.gguf')
    const notes = new File(['hello'], 'notes.txt')
    return {
      page: await attempt(() => loadModel(page, { threads: 1 })),
      notes: await attempt(() => loadAdapter([notes])),
      name: await attempt(() => loadModel('stories26k', { threads: 1 })),
      option: await attempt(() => loadModel('stories260k', { thread: 2 } as never)),
      wrong: await attempt(async () =>
        loadModel('/models/stories260k/', {
          cache: false,
          threads: 1,
          runtime: await wrongRuntime(),
        }),
      ),
      none: await attempt(() => loadModel('/models/stories260k/', { runtime: {} as never })),
      sink: await attempt(async () => saveAdapter(await makeConstant(1), 'experts/x')),
      outside: await attempt(async () => saveAdapter(await makeConstant(1), 'opfs:../x')),
      wasRun: 'wasRun' in globalThis,
    }
  },
}

Object.assign(globalThis, { training })

// The files that a training run writes into its folder, and those that it does not change.
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { sizeOf } from '../base/tensor.ts'
import { getCatalogueEntry } from '../catalogue/catalogue.ts'
import type { TrainEvent } from '../index.ts'
import { loadAdapter } from './adapters.ts'
import { readExpertMetadata } from './expert/expert-notes.ts'
import { hashFolder } from './registry/content-folder.ts'
import { train } from './train.ts'
import type { TrainFilesOptions } from './train-files.ts'

const folder = mkdtempSync(join(tmpdir(), 'graft-train-'))
afterAll(() => rmSync(folder, { recursive: true }))

const data = ['Lily', 'Tom', 'Sue', 'Ben'].map((name) => ({
  prompt: `${name}:`,
  completion: ` ${name} saw a cat.`,
}))
const config = { rank: 2, targets: ['q_proj'] }

const findStories = (): string => {
  const [source] = getCatalogueEntry('stories260k').sources
  return source?.kind === 'embedded' ? fileURLToPath(source.directory) : ''
}

async function finish(
  options: Partial<TrainFilesOptions>,
): Promise<Extract<TrainEvent, { type: 'train-end' }>> {
  const events: TrainEvent[] = []
  for await (const event of train({
    model: 'stories260k',
    data,
    adapter: { kind: 'lora', config },
    steps: 4,
    ...options,
  }))
    events.push(event)
  const last = events.at(-1)
  if (last?.type !== 'train-end') throw new Error('there was no last event')
  return last
}

describe('train', () => {
  it('writes nothing without a folder', async () => {
    const { reason, adapter } = await finish({})
    expect([reason, adapter.tensors.size, adapter.baseModel]).toEqual([
      'finished',
      10,
      'stories260k',
    ])
  })
  it('writes the adapter that it gives, with notes on how it was asked', async () => {
    const out = join(folder, 'whole')
    const { adapter } = await finish({ out, system: 'Tell a story.' })
    const saved = await loadAdapter(out)
    expect([...saved.tensors]).toEqual([...adapter.tensors])
    expect(saved.baseModel).toBe('stories260k')
    expect(await readExpertMetadata(out)).toMatchObject({
      base: 'stories260k',
      system: 'Tell a story.',
    })
    expect(readFileSync(join(out, 'history.jsonl'), 'utf8').trim().split('\n')).toHaveLength(4)
  })
  it('records in expert.json its data, its training and its cost', async () => {
    const out = join(folder, 'The tales')
    const rows = join(folder, 'rows.jsonl')
    const text = data.map((row) => `${JSON.stringify(row)}\n`).join('')
    writeFileSync(rows, text)
    const { best } = await finish({
      out,
      data: rows,
      seed: 3,
      dataLicense: 'CC0-1.0',
      command: 'graft train',
      metadata: { description: 'Tells\u0007 tales', author: 'A. Person' },
    })
    const { manifest } = (await readExpertMetadata(out))!
    expect(manifest).toMatchObject({
      id: 'The-tales',
      version: '0.1.0',
      kind: 'lora',
      base: {
        id: 'stories260k',
        sha256: best.adapter.metadata!['graft_base_sha256'],
        digest: (await hashFolder(findStories())).hash,
      },
      data: [
        {
          name: 'rows.jsonl',
          sha256: createHash('sha256').update(text).digest('hex'),
          rows: data.length,
          license: 'CC0-1.0',
        },
      ],
      description: 'Tells  tales',
      author: 'A. Person',
      provenance: { command: 'graft train', seed: 3, versions: { node: process.versions.node } },
      figures: { adapterBytes: statSync(join(out, 'adapter_model.safetensors')).size },
    })
    const numbers = [...best.adapter.tensors.values()].reduce(
      (sum, { shape }) => sum + sizeOf(shape),
      0,
    )
    expect(manifest!.figures!.residentBytes).toBe(4 * numbers)
    expect(existsSync(join(out, 'graft.json'))).toBe(false)
  })
  it('continues with a run that an older version began, and takes over its notes', async () => {
    const out = join(folder, 'older')
    const created = '2026-01-01T00:00:00.000Z'
    const older = { version: 1, base: 'stories260k', expert: { created } }
    mkdirSync(out)
    writeFileSync(join(out, 'graft.json'), JSON.stringify(older))
    await finish({ out, resume: true })
    expect((await readExpertMetadata(out))!.manifest!.created).toBe(created)
    expect(existsSync(join(out, 'graft.json'))).toBe(false)
  })
  it('continues training an adapter from its folder', async () => {
    const { best } = await finish({ adapter: join(folder, 'whole'), learningRate: 1e-9 })
    const before = await loadAdapter(join(folder, 'whole'))
    for (const [key, { data: values }] of before.tensors) {
      const after = best.adapter.tensors.get(key)!.data as Float32Array
      expect(
        Math.max(...after.map((value, i) => Math.abs(value - (values as Float32Array)[i]!))),
      ).toBeLessThan(1e-6)
    }
  })
  it('stopped by its signal leaves a checkpoint and no adapter', async () => {
    const out = join(folder, 'stopped')
    const controller = new AbortController()
    const events = train({
      model: 'stories260k',
      data,
      adapter: { kind: 'lora', config },
      steps: 4,
      out,
      signal: controller.signal,
    })
    let reason: string | undefined
    for await (const event of events) {
      if (event.type === 'step-end') controller.abort()
      if (event.type === 'train-end') reason = event.reason
    }
    expect(reason).toBe('stopped')
    expect(existsSync(join(out, 'adapter_config.json'))).toBe(false)
    expect(readdirSync(join(out, 'checkpoints'))).toContain('checkpoint-a.safetensors')
    const { reason: resumed } = await finish({ out, resume: true })
    expect(resumed).toBe('finished')
    const whole = await finish({})
    expect([...(await loadAdapter(out)).tensors]).toEqual([...whole.adapter.tensors])
  })
  it('leaves no trace where options or data are wrong', async () => {
    const out = join(folder, 'wrong')
    await expect(finish({ out, learningRate: -1 })).rejects.toThrow('learningRate')
    await expect(finish({ out, data: [{ question: 'x' }] })).rejects.toThrow('no known format')
    await expect(finish({ out, validation: 2 })).rejects.toThrow('Validation share')
    expect(existsSync(out)).toBe(false)
  })
  it('leaves files that it did not write alone, also when it replaces a run', async () => {
    const out = join(folder, 'whole')
    writeFileSync(join(out, 'notes.txt'), 'mine')
    await expect(finish({ out })).rejects.toThrow('holds an adapter already')
    await finish({ out, overwrite: true, seed: 9 })
    expect(readFileSync(join(out, 'notes.txt'), 'utf8')).toBe('mine')
    expect(await readExpertMetadata(out)).not.toHaveProperty('system')
  })
  it('keeps the adapter with the lowest validation loss', async () => {
    const out = join(folder, 'validated')
    const { best, history } = await finish({
      out,
      validation: { data: 0.25, everySteps: 1 },
      learningRate: 5e-2,
      schedule: 'constant',
      steps: 12,
    })
    const losses = history.validations.map(({ loss }) => loss)
    expect(losses).toHaveLength(12)
    expect(best.loss).toBe(Math.min(...losses))
    expect([...(await loadAdapter(out)).tensors]).toEqual([...best.adapter.tensors])
  })
})

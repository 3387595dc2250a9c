// Building experts on the embedded model: reproducible, resumable, measured, and refused where the
// data has no licence.

import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DataError, NotFoundError, SignatureError } from '../../base/errors.ts'
import { createKeyPair } from '../../registry/signing/ecdsa.ts'
import { loadAdapter } from '../adapters.ts'
import { readManifestFile, writeManifestFile } from '../expert/manifest-file.ts'
import { createFileSink } from '../files/file-sink.ts'
import { type LoadedModel, loadModel } from '../model.ts'
import { signFolder } from '../registry/sign-folder.ts'
import { buildExpert, type BuildOptions } from './build-expert.ts'
import { checkReleased } from './check-released.ts'
import { getLibraryRecipe } from './recipe-table.ts'
import { describeAims, describeResult } from './result-table.ts'
import type { VariantResult } from './results.ts'
import { sliceDirectory } from './slice.ts'

let model: LoadedModel
let folder: string
beforeAll(async () => {
  model = await loadModel('stories260k', { threads: 1 })
  folder = await mkdtemp(join(tmpdir(), 'graft-library-'))
})
afterAll(async () => {
  await model.dispose()
  await rm(folder, { recursive: true })
})

const architect = getLibraryRecipe('architect')
const build = (out: string, options: Partial<BuildOptions> = {}, recipe = architect) =>
  buildExpert(recipe, {
    model,
    out: join(folder, out),
    steps: 3,
    rows: 4,
    now: () => performance.now(),
    ...options,
  })
const readTensors = (out: string): Promise<Buffer> =>
  readFile(join(folder, out, 'architect', 'adapter_model.int4.safetensors'))

describe('graft experts build', () => {
  it('gives the same tensors for the same seed, and others for another', async () => {
    await Promise.all([build('a'), build('b'), build('c', { seed: 1 })])
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map(readTensors))
    expect(a!.equals(b!)).toBe(true)
    expect(a!.equals(c!)).toBe(false)
  })

  it('measures base, expert and LoRA on the same rows, and reports each', async () => {
    const said: string[] = []
    const onResult = (result: VariantResult, isNew: boolean) =>
      void said.push(describeResult(result, isNew))
    const results = await build('d', { lora: true, onResult })
    expect(results.map(({ variant, kind, scores }) => [variant, kind, scores.length])).toEqual([
      ['base', 'base', 4],
      ['expert', 'dora', 4],
      ['lora', 'lora', 4],
    ])
    expect(said[1]).toMatch(/^architect {2}expert {2}dora {2}exact-match \d+\.\d %.* 3 steps in/)
    expect(describeAims(results)).toHaveLength(1)
    expect(await build('d', { lora: true, onResult })).toEqual(results)
    expect(said.slice(3).every((line) => line.endsWith('(from before)'))).toBe(true)
  })

  it('continues where it was stopped, with the tensors of a run that never was', async () => {
    await build('whole', { steps: 12 })
    const stopped = new AbortController()
    const onTrain: BuildOptions['onTrain'] = (_variant, event) => {
      if (event.type === 'step-end' && event.step === 8) stopped.abort()
    }
    await expect(build('stopped', { steps: 12, onTrain, signal: stopped.signal })).rejects.toThrow(
      /abort/i,
    )
    let first: number | undefined
    await build('stopped', {
      steps: 12,
      onTrain: (_variant, event) => {
        if (event.type === 'step-end') first ??= event.step
      },
    })
    expect(first).toBe(9)
    const [whole, resumed] = await Promise.all(
      ['whole', 'stopped'].map((out) => loadAdapter(join(folder, out, 'architect'))),
    )
    for (const [key, { data }] of whole!.tensors)
      expect(resumed!.tensors.get(key)!.data).toEqual(data)
  })

  it('writes a manifest with licence, data, seed, scores and intervals', async () => {
    const manifest = await readManifestFile(join(folder, 'a', 'architect'))
    expect(manifest).toMatchObject({
      id: 'architect',
      version: '1.0.0',
      tier: 'heavy',
      kind: 'dora',
      system: 'Answer briefly.',
      license: 'Apache-2.0',
      provenance: { seed: 0 },
      custom: { library: { rows: 4 } },
    })
    expect(manifest!.data![0]).toMatchObject({ name: 'train.jsonl', license: 'Apache-2.0' })
    expect(manifest!.scores!['exact-match']).toMatchObject({
      rows: 4,
      data: 'architect/test.jsonl',
    })
  })

  it('refuses rows without a licence before anything is written', async () => {
    const data = join(folder, 'bare')
    await cp(join(sliceDirectory, 'architect'), join(data, 'architect'), { recursive: true })
    await rm(join(data, 'architect', 'LICENSE'))
    await expect(build('none', { data })).rejects.toThrow(DataError)
    await expect(build('none', { data })).rejects.toThrow(/the rows have no licence/)
    await expect(build('none', { data: folder })).rejects.toThrow(NotFoundError)
    expect(await readdir(folder)).not.toContain('none')
  })
})

describe('graft experts check', () => {
  const check = async (keys: readonly string[]) =>
    checkReleased(architect, { model, folder: join(folder, 'checked', 'architect'), keys })

  it('measures the rows again, finds a fall, and a file that was changed', async () => {
    await build('checked')
    const expert = join(folder, 'checked', 'architect')
    const { privatePem, publicPem } = await createKeyPair()
    const bytes = (text: string) => [new TextEncoder().encode(text)]
    await createFileSink(folder).write('key.pem', bytes(privatePem))
    await createFileSink(folder).write('key.pub.pem', bytes(publicPem))
    const keys = [join(folder, 'key.pub.pem')]
    await signFolder(expert, join(folder, 'key.pem'))
    expect(await check(keys)).toMatchObject({ rows: 4, released: 0, measured: 0, hasFallen: false })

    const manifest = (await readManifestFile(expert))!
    const better = Object.assign({}, manifest, { custom: { library: { rows: 4, value: 1 } } })
    await writeManifestFile(better, createFileSink(expert))
    await expect(check(keys)).rejects.toThrow(SignatureError)
    await signFolder(expert, join(folder, 'key.pem'))
    expect(await check(keys)).toMatchObject({ released: 1, hasFallen: true })
  })
})

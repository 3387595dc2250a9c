import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer } from '../../../server/app.ts'
import type { Service } from '../../../server/service.ts'
import { openOperatedServer } from '../../../../test/support/operated-server.ts'
import { openStudio } from './open-studio.ts'

let page: string
beforeAll(async () => {
  page = await mkdtemp(join(tmpdir(), 'graft-studio-'))
  await writeFile(join(page, 'index.html.gz'), gzipSync('<html data-model="" data-note="">'))
})
afterAll(() => rm(page, { recursive: true }))

async function openSite(model: string | undefined) {
  const studio = await openStudio({ model, page, needsKey: async () => false })
  const server = createServer({ service: {} as Service, routes: studio.routes })
  const ask = (path: string): Promise<Response> =>
    server.fetch(new Request(`http://graft/studio/${path}`))
  const place = /data-model="\.\/([^"]*)"/.exec(await (await ask('')).text())?.[1]
  return { ask, place, close: studio.close }
}

describe('Studio on Node', () => {
  it('gives the files of a folder that are the model, and no others', async () => {
    const { ask, place, close } = await openSite('stories260k')
    expect(place).toMatch(/^served\/[0-9a-f]{16}\/stories260k\/$/)
    const config = await ask(`${place}config.json`)
    expect(await config.json()).toMatchObject({ model_type: 'llama' })
    expect((await ask(`${place}LICENSE`)).status).toBe(404)
    expect((await ask(`${place}..%2f..%2f..%2findex.ts`)).status).toBe(404)
    await close()
  })
  it('serves one GGUF file, and no file next to it', async () => {
    for (const name of ['own', 'other']) await writeFile(join(page, `${name}.gguf`), `GGUF ${name}`)
    const { ask, place, close } = await openSite(join(page, 'own.gguf'))
    expect(place).toMatch(/^served\/[0-9a-f]{16}\/own\.gguf$/)
    expect(await (await ask(place!)).text()).toBe('GGUF own')
    expect(await (await ask(place!)).text()).toBe('GGUF own')
    expect((await ask(place!.replace(/[^/]+$/, 'other.gguf'))).status).toBe(404)
    await close()
  })
  it('has ONNX Runtime and the small model at hand, also without a base', async () => {
    const { ask, place, close } = await openSite(undefined)
    expect(place).toBeUndefined()
    expect((await ask('ort/ort-wasm-simd-threaded.wasm')).headers.get('content-type')).toBe(
      'application/wasm',
    )
    expect((await ask('models/stories260k/config.json')).status).toBe(200)
    await close()
  })
  it('asks for a key where the server does, for the base alone', async () => {
    const studio = await openStudio({ model: 'stories260k', page, needsKey: async () => true })
    const operated = await openOperatedServer({
      options: { keyless: 'nobody' },
      routes: studio.routes,
    })
    const statusOf = async (path: string): Promise<number> =>
      (await operated.server.fetch(new Request(`http://graft/studio/${path}`))).status
    expect(await statusOf('')).toBe(200)
    expect(await statusOf('models/stories260k/config.json')).toBe(200)
    expect(await statusOf('served/x/stories260k/config.json')).toBe(401)
    await studio.close()
    await operated.close()
  })
})

// Publishing and fetching: any web server, damaged or malicious data, redirects.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  ConflictError,
  FormatError,
  NotFoundError,
  OptionError,
  SignatureError,
  UnsupportedError,
} from '../../../base/errors.ts'
import type { ExpertManifest } from '../../../registry/manifest/expert-manifest.ts'
import { createTestManifest } from '../../../registry/registry.contract.ts'
import type { Registry } from '../../../registry/registry.ts'
import { createKeyPair } from '../../../registry/signing/ecdsa.ts'
import { createRegistryPlaces, type FolderPlace, type RegistryPlaces } from '../places.testing.ts'
import { signFolder } from '../sign-folder.ts'
import { addPublished } from './add-published.ts'
import { isPrivateAddress } from './private-address.ts'
import { publishExpert, withdrawExpert } from './publish-expert.ts'
import { openPublished } from './published-layout.ts'

let places: RegistryPlaces
let from: FolderPlace
let to: FolderPlace
let registry: Registry
let other: Registry
let site: string
const servers: Server[] = []

beforeAll(async () => void (places = await createRegistryPlaces()))
afterAll(() => places.remove())
beforeEach(async () => {
  from = await places.make()
  to = await places.make()
  registry = await from.open()
  other = await to.open()
  site = join(from.path, '..', 'site')
})
afterEach(async () => {
  await registry.close()
  await other.close()
  for (const server of servers.splice(0)) server.close()
  await from.remove()
  await to.remove()
})

async function serve(answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Any web server: files of the folder, nothing else. */
const serveSite = (): Promise<string> =>
  serve((request, response) => {
    readFile(join(site, request.url!.replace(/^\/experts/, ''))).then(
      (bytes) => response.end(bytes),
      () => response.writeHead(404).end(),
    )
  })

const publish = async (given: Partial<ExpertManifest> = {}, seed = 1): Promise<void> => {
  const manifest = createTestManifest(given)
  await registry.add(await from.makeExpert(manifest, seed), { channels: ['stable'] })
  await publishExpert(registry, `${manifest.id}@${manifest.version}`, site)
}

/** Replaces a blob, and every mention of its digest, by other bytes. */
async function replaceImage(change: (image: string) => string): Promise<void> {
  const index = await readFile(join(site, 'index.json'), 'utf8')
  const [, old] = /"digest": "sha256:([0-9a-f]{64})"/.exec(index)!
  const path = (hash: string): string => join(site, 'blobs', 'sha256', hash)
  const text = change(await readFile(path(old!), 'utf8'))
  const hash = createHash('sha256').update(text).digest('hex')
  await writeFile(path(hash), text)
  const changed = index.replaceAll(old!, hash).replace(/"size": \d+/g, `"size": ${text.length}`)
  await writeFile(join(site, 'index.json'), changed)
}

const findBlob = async (part: string): Promise<string> => {
  const folder = join(site, 'blobs', 'sha256')
  for (const name of await readdir(folder))
    if ((await readFile(join(folder, name), 'latin1')).includes(part)) return join(folder, name)
  throw new Error(`no blob holds ${part}`)
}

const expectNothingAdded = async (): Promise<void> => {
  expect(await other.list()).toEqual([])
  expect(await readdir(join(to.path, 'content'))).toEqual([])
}

describe('a published expert', () => {
  it('is found by meaning from the index alone; one without a vector is read on the spot', async () => {
    const asked: string[] = []
    const embedder = {
      id: 'letters',
      embed: async (texts: readonly string[]) => {
        asked.push(...texts)
        return texts.map((text) => Float32Array.from('etaoin', (l) => text.split(l).length))
      },
    }
    const add = async (id: string, description: string, more: object): Promise<void> => {
      await registry.add(await from.makeExpert(createTestManifest({ id, description }), 1))
      await publishExpert(registry, id, site, more)
    }
    await add('teller', 'tea at ten', { embedder })
    await add('poet', 'no iron in onions', { embedder })
    await publishExpert(registry, 'poet', site, { channels: ['stable'] }) // keeps the vector
    const search = async () => {
      const published = await openPublished(await serveSite())
      return published.searchByMeaning(embedder, 'eaten at tea')
    }
    asked.splice(0)
    const found = await search()
    expect(found.map(({ id }) => id)).toEqual(['teller', 'poet'])
    expect(found[0]!.similarity).toBeGreaterThan(found[1]!.similarity! + 0.05)
    expect(asked).toEqual(['eaten at tea'])
    await add('waiter', 'eat a tea', {})
    expect((await search()).map(({ id }) => id)).toContain('waiter')
    expect(asked.filter((text) => text.includes('eat a tea'))).toHaveLength(1)
    const index = await readFile(join(site, 'index.json'), 'utf8')
    const broken = index.replace(/"dev.graftlm.vectors": "[^\n]*"/, '"dev.graftlm.vectors": "[3]"')
    await writeFile(join(site, 'index.json'), broken)
    const { index: read } = await openPublished(site)
    expect(read.faults.map(({ error }) => error.message).join()).toContain(
      'expected texts by embedder',
    )
    expect(read.experts).toHaveLength(2)
  })
  it('comes back from a folder and from any web server as it was', async () => {
    await publish({ tags: ['a'], description: 'Writes "code"' })
    await registry.tag('coder', { add: ['b'] })
    await publish({ version: '1.1.0' }, 2)
    const { hash } = await registry.resolve('coder@1.0.0')
    const first = await addPublished(other, 'coder@1.0.0', site)
    expect([first.hash, first.tags]).toEqual([hash, ['a']])
    const address = `${await serveSite()}/experts`
    const second = await addPublished(other, 'coder@stable', address, { channels: ['live'] })
    expect(second.version).toBe('1.1.0')
    expect((await other.resolve('coder@live')).version).toBe('1.1.0')
    await other.verify('coder@1.0.0')
    await other.verify('coder@1.1.0')
    const { index } = await openPublished(address)
    expect(index.experts.map(({ version, channels }) => [version, channels])).toEqual([
      ['1.1.0', ['stable']],
      ['1.0.0', []],
    ])
  })

  it('keeps a manifest that its folder does not hold, and tags given later', async () => {
    await registry.add(await from.makeExpert(undefined, 3), { id: 'tales', version: '2.0.0' })
    await registry.tag('tales', { add: ['stories'] })
    await publishExpert(registry, 'tales', site, { channels: ['next'] })
    const { manifest } = await registry.resolve('tales')
    const added = await addPublished(other, 'tales@next', site)
    expect(added).toMatchObject({ tags: ['stories'], manifest: { modified: manifest.modified } })
  })

  it('is published again without a change, and never changes', async () => {
    await publish()
    const before = await readFile(join(site, 'index.json'), 'utf8')
    await publishExpert(registry, 'coder', site)
    expect(await readFile(join(site, 'index.json'), 'utf8')).toBe(before)
    await other.add(await to.makeExpert(createTestManifest(), 2))
    await expect(publishExpert(other, 'coder', site)).rejects.toThrow(ConflictError)
    await expect(addPublished(other, 'coder', site)).rejects.toThrow(ConflictError)
    expect(await readFile(join(site, 'index.json'), 'utf8')).toBe(before)
  })

  it('is there as a plain image too, which skopeo inspects', async () => {
    await publish()
    const { index } = await openPublished(site)
    const { plain } = index.experts[0]!
    const read = async (hash: string) =>
      JSON.parse(await readFile(join(site, 'blobs', 'sha256', hash), 'utf8'))
    const manifest = await read(plain!.hash)
    expect(manifest.config.mediaType).toBe('application/vnd.oci.image.config.v1+json')
    const config = await read(manifest.config.digest.slice('sha256:'.length))
    const digests = manifest.layers.map(({ digest }: { readonly digest: string }) => digest)
    expect(config.rootfs.diff_ids).toEqual(digests)
    expect(config.config.Labels).toMatchObject({ 'dev.graftlm.hash': index.experts[0]!.hash })
    const shown = spawnSync('skopeo', ['inspect', `oci:${site}:coder/1.0.0/image`])
    if (shown.error) return // there is no skopeo here
    expect([shown.status, shown.stderr.toString()]).toEqual([0, ''])
    expect(JSON.parse(shown.stdout.toString()).Layers).toEqual(digests)
  })

  it('is withdrawn with the files that no other version has', async () => {
    await publish()
    const listBlobs = (): Promise<string[]> => readdir(join(site, 'blobs', 'sha256'))
    const one = new Set(await listBlobs())
    await publish({ version: '1.1.0' }, 1)
    await publish({ id: 'b' }, 2)
    await withdrawExpert('b', site)
    await withdrawExpert('coder@1.1.0', site)
    expect(new Set(await listBlobs())).toEqual(one)
    expect((await readdir(site)).toSorted()).toEqual(['blobs', 'index.json', 'oci-layout'])
    await expect(withdrawExpert('coder@1.1.0', site)).rejects.toThrow(NotFoundError)
    await expect(withdrawExpert('coder', `${site}x`)).rejects.toThrow(NotFoundError)
    expect((await addPublished(other, 'coder', site)).version).toBe('1.0.0')
  })

  it('whose files were changed in the registry is not published', async () => {
    await publish()
    await registry.add(await from.makeExpert(createTestManifest({ id: 'b' }), 2))
    await from.damage((await registry.resolve('b')).location)
    await expect(publishExpert(registry, 'b', site)).rejects.toThrow(SignatureError)
    expect((await openPublished(site)).index.experts).toHaveLength(1)
  })

  it('is added only with a signature where a key is given', async () => {
    await publish()
    const folder = await from.makeExpert(createTestManifest({ id: 'signed' }), 2)
    const mine = await createKeyPair()
    const path = (name: string): string => join(from.path, '..', name)
    await writeFile(path('key.pem'), mine.privatePem)
    await writeFile(path('key.pub'), mine.publicPem)
    await writeFile(path('other.pub'), (await createKeyPair()).publicPem)
    await signFolder(folder, path('key.pem'))
    await registry.add(folder)
    await publishExpert(registry, 'signed', site)
    const keys = [path('key.pub')]
    await expect(addPublished(other, 'coder', site, { keys })).rejects.toThrow(/is not signed/)
    const wrong = addPublished(other, 'signed', site, { keys: [path('other.pub')] })
    await expect(wrong).rejects.toThrow(SignatureError)
    await expectNothingAdded()
    expect((await addPublished(other, 'signed', site, { keys })).id).toBe('signed')
  })

  it('that is not published is named, with the published ones', async () => {
    await publish()
    await expect(addPublished(other, 'codr', site)).rejects.toThrow(/Did you mean "coder"\?/)
    await expect(addPublished(other, 'coder@^2', site)).rejects.toThrow(/its versions are 1\.0\.0/)
    await expect(addPublished(other, 'coder', `${site}x`)).rejects.toThrow(NotFoundError)
    const address = await serveSite()
    await expect(openPublished(`${address}/x`)).rejects.toThrow(/answered 404/)
    await expect(openPublished('ftp://example.org')).rejects.toThrow(OptionError)
    await expect(openPublished(site, { maxByte: 1 } as never)).rejects.toThrow(/maxBytes/)
  })
})

describe('what is refused, and leaves the registry as it was', () => {
  beforeEach(() => publish())
  afterEach(expectNothingAdded)

  it('a file with other bytes, more or fewer of them', async () => {
    const blob = await findBlob('lora_A')
    const bytes = await readFile(blob)
    const changed = Buffer.from(bytes)
    changed[changed.length - 1]! ^= 1
    for (const wrong of [changed, bytes.subarray(1), Buffer.concat([bytes, bytes])]) {
      await writeFile(blob, wrong)
      const adding = addPublished(other, 'coder', await serveSite())
      await expect(adding).rejects.toThrow(/sha256|bytes/)
    }
    await rm(blob)
    await expect(addPublished(other, 'coder', site)).rejects.toThrow(NotFoundError)
  })

  it('an image that was changed, and one whose files differ from the index', async () => {
    const [, weights] = /([0-9a-f]{64})$/.exec(await findBlob('lora_A'))!
    await replaceImage((image) => image.replace(weights!, weights!.replace(/^./, 'x')))
    await expect(addPublished(other, 'coder', site)).rejects.toThrow(UnsupportedError)
    await replaceImage((image) => image.replace(/x([0-9a-f]{63})/, '0$1'))
    await expect(addPublished(other, 'coder', site)).rejects.toThrow(SignatureError)
  })

  it.each([
    ['"../adapter_config.json"', /leaves the folder/],
    ['"/etc/adapter"', /is absolute/],
    ['"adapter_model.safetensors"', /occurs twice/],
    ['"adapter_model.safetensors/x"', /is in .*, a file/],
    ['"a\\\\b"', /contains "\\" or/],
    ['"a\\nb"', /control codes/],
  ])('a file that is called %s', async (name, message) => {
    await replaceImage((image) => image.replace('"adapter_config.json"', name))
    await expect(addPublished(other, 'coder', site)).rejects.toThrow(message)
  })

  it('layers and images of other tools, and an invalid index', async () => {
    await replaceImage((image) => image.replace('weight.v1.raw', 'weight.v1.tar+gzip'))
    await expect(addPublished(other, 'coder', site)).rejects.toThrow(UnsupportedError)
    await replaceImage((image) => image.replace('vnd.cncf.model.manifest', 'vnd.oci.empty'))
    await expect(addPublished(other, 'coder', site)).rejects.toThrow(/artifact type/)
    for (const wrong of ['[]', '{"schemaVersion":2}', '{"a":1,"a":2}', '\u0000', '['.repeat(1e5)]) {
      await writeFile(join(site, 'index.json'), wrong)
      await expect(openPublished(site)).rejects.toThrow(FormatError)
    }
  })

  it('more bytes than are allowed, before they are downloaded', async () => {
    const adding = addPublished(other, 'coder', site, { maxBytes: 1000 })
    await expect(adding).rejects.toThrow(/at most 1000 are allowed.*--max-bytes/)
  })

  it('a manifest with unknown keys: named, and the others can be read', async () => {
    const index = join(site, 'index.json')
    const text = await readFile(index, 'utf8')
    await publish({ id: 'good' }, 2)
    const whole = await readFile(index, 'utf8')
    expect(text).not.toBe(whole)
    await writeFile(
      index,
      whole.replace('\\"id\\":\\"coder\\"', '\\"colour\\":1,\\"id\\":\\"coder\\"'),
    )
    await expect(addPublished(other, 'coder', site)).rejects.toThrow(/no key "colour"/)
    expect((await addPublished(other, 'good', site)).id).toBe('good')
    await other.remove('good')
    await publish({ id: 'later' }, 3)
    expect(await readFile(index, 'utf8')).toContain('colour')
  })

  it('a compressed answer, an endless one, and one that breaks off', async () => {
    const address = await serve((request, response) => {
      if (request.url === '/zip/index.json')
        return response.writeHead(200, { 'content-encoding': 'gzip' }).end('x')
      if (request.url === '/long/index.json')
        return response.writeHead(200, { 'content-length': String(2 ** 40) }).write('x')
      response.writeHead(200, { 'content-length': '100' }).write('{')
      setTimeout(() => response.destroy(), 20)
    })
    await expect(openPublished(`${address}/zip`)).rejects.toThrow(/came as "gzip"/)
    await expect(openPublished(`${address}/long`)).rejects.toThrow(/expected at most/)
    await expect(openPublished(`${address}/cut`)).rejects.toThrow(NotFoundError)
  })
})

describe('redirects', () => {
  it('are followed within one server, and into the own network where that is allowed', async () => {
    await publish()
    const address = await serveSite()
    const within = await serve((request, response) =>
      request.url!.startsWith('/old')
        ? response.writeHead(302, { location: request.url!.replace('/old', '') }).end()
        : response.writeHead(302, { location: address + request.url! }).end(),
    )
    await expect(openPublished(`${within}/old`)).rejects.toThrow(/a redirect leads to 127\.0\.0\.1/)
    const { index } = await openPublished(`${within}/old`, { allowPrivate: true })
    expect(index.experts).toHaveLength(1)
    const named = await serve((request, response) =>
      response
        .writeHead(302, { location: address.replace('127.0.0.1', 'localhost') + request.url! })
        .end(),
    )
    await expect(openPublished(named)).rejects.toThrow(/an address of this machine/)
  })

  it('end where they lead round, nowhere, or to another scheme', async () => {
    const round = await serve((_, response) => response.writeHead(302, { location: '/a' }).end())
    await expect(openPublished(round)).rejects.toThrow(/more than 5 redirects/)
    const nowhere = await serve((_, response) => response.writeHead(302).end())
    await expect(openPublished(nowhere)).rejects.toThrow(/redirects to no address/)
    const file = await serve((_, response) =>
      response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
    )
    await expect(openPublished(file)).rejects.toThrow(OptionError)
  })

  it.each([
    '127.0.0.1 10.1.2.3 172.31.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 255.255.255.255',
    '::1 :: fe80::1 fd00::1 ::ffff:127.0.0.1 ::ffff:7f00:1 64:ff9b::7f00:1 2002:7f00:1:: ff02::1',
  ])('%s are of an own network', (text) => {
    expect(text.split(' ').filter((address) => !isPrivateAddress(address))).toEqual([])
  })

  it.each(['1.1.1.1 172.32.0.1 8.8.8.8 ::ffff:8.8.8.8 2606:4700::1111'])('%s are not', (text) => {
    expect(text.split(' ').filter(isPrivateAddress)).toEqual([])
  })
})

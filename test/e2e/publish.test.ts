// Publishing as users type it: static files that any web server and tools of OCI read, archives,
// cards, and older folders brought up to date.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { graft, scratchFolder, succeed } from '../support/cli.ts'
import { findSkopeo } from '../support/skopeo.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const environment = { GRAFT_REGISTRY: at('registry') }
const options = { cwd: scratch.path, environment }
const run = async (...args: string[]) => (await succeed(['experts', ...args], options)).stdout
const runElsewhere = async (...args: string[]) =>
  (await succeed(['experts', ...args, '--registry', 'elsewhere'], options)).stdout
const fail = async (...args: string[]) => {
  const { code, stderr } = await graft(['experts', ...args], options)
  expect(code).not.toBe(0)
  return stderr
}
let server: Server
let address: string

beforeAll(async () => {
  const source = new URL('../parity/lora_qv_r8', import.meta.url)
  cpSync(source, at('tales'), { recursive: true })
  rmSync(at('tales', 'expected.safetensors'), { force: true })
  await run('add', 'tales', '--name', 'tales', '--version', '1.2.0', '--channel', 'stable')
  server = createServer((request, response) => {
    readFile(at('site', request.url!)).then(
      (bytes) => response.end(bytes),
      () => response.writeHead(404).end(),
    )
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await run('publish', 'tales', 'site')
}, 300_000)
afterAll(() => {
  server.close()
  scratch.remove()
})

it('is found at any web server, shown, fetched and answered with', async () => {
  expect(await run('search', '--from', address, '--base', 'stories260k')).toMatch(
    /tales +1\.2\.0 +stable/,
  )
  expect(await run('show', 'tales@^1', '--from', address)).toContain('tales@1.2.0')
  const meaning = ['--meaning', '--model', 'stories260k']
  await run('publish', 'tales', 'site', ...meaning)
  expect(readFileSync(at('site', 'index.json'), 'utf8')).toContain('"dev.graftlm.vectors"')
  expect(await run('search', 'stories', '--from', address, ...meaning)).toMatch(/tales +1\.2\.0/)
  expect(await fail('publish', 'tales', 'site', '--model', 'stories260k')).toContain('--meaning')
  await runElsewhere('add', 'tales@stable', '--from', address)
  expect(await runElsewhere('verify', 'tales@1.2.0')).toContain('every file is unchanged')
  expect(await fail('add', 'tals', '--from', address)).toContain('Did you mean "tales"?')
  expect(await fail('add', 'tales', '--key', 'x.pub')).toContain('--key is for --from')
  expect(await fail('add', 'tales', '--from', address, '--name', 'x')).toContain('keeps its name')
}, 300_000)

it('is an OCI image of ModelPack that skopeo reads and copies', async ({ skip }) => {
  const found = await findSkopeo()
  if ('reason' in found) return skip(found.reason)
  const image = JSON.parse(found.run('inspect', '--raw', `oci:${at('site')}:tales/stable`))
  expect(image).toMatchObject({
    artifactType: 'application/vnd.cncf.model.manifest.v1+json',
    config: { mediaType: 'application/vnd.cncf.model.config.v1+json' },
    annotations: { 'dev.graftlm.base.id': 'stories260k' },
  })
  const types = image.layers.map(({ mediaType }: { mediaType: string }) => mediaType)
  expect(types).toContain('application/vnd.cncf.model.weight.v1.raw')
  const shown = found.run('inspect', '--config', '--raw', `oci:${at('site')}:tales/1.2.0`)
  const config = JSON.parse(shown)
  expect(config.descriptor).toMatchObject({ name: 'tales', version: '1.2.0' })
  expect(config.modelfs.diffIds).toEqual(
    image.layers.map(({ digest }: { digest: string }) => digest),
  )
  // compares every blob with its digest
  found.run('copy', '-q', `oci:${at('site')}:tales/1.2.0`, `oci:${at('copy')}:x`)
  expect(readdirSync(at('copy', 'blobs', 'sha256'))).toHaveLength(image.layers.length + 2)
}, 300_000)

it('goes into one file and comes back; tar reads it too', async () => {
  await run('export', 'tales', 'tales.tar.gz')
  const { stdout } = spawnSync('tar', ['tzf', at('tales.tar.gz')], { encoding: 'utf8' })
  expect(stdout.trim().split('\n')).toEqual([
    'experts.json',
    'tales-1.2.0/adapter_config.json',
    'tales-1.2.0/adapter_model.safetensors',
  ])
  const imported = ['import', 'tales.tar.gz', '--registry', 'third', '--channel', 'stable']
  expect(await run(...imported)).toContain('tales@1.2.0 is in third')
  expect(await fail('export', 'tales', 'tales.tar.gz')).toContain('exists already')
  expect(
    await fail('import', 'tales.tar.gz', '--registry', 'third', '--max-bytes', '10'),
  ).toContain('--max-bytes')
}, 300_000)

it('has a card for the hub', async () => {
  const card = await run('card', 'tales')
  for (const line of ['base_model_relation: adapter', 'library_name: peft'])
    expect(card).toContain(`\n${line}\n`)
  await run('card', 'tales', 'README.md')
  expect(readFileSync(at('README.md'), 'utf8')).toBe(card)
  expect(await fail('card', 'tales', 'README.md')).toContain('exists already')
}, 300_000)

it('migrates an older folder: shown, written, taken back', async () => {
  const older = '{"version":1,"base":"stories260k","system":"Be brief."}'
  cpSync(at('tales'), at('old', 'one'), { recursive: true })
  cpSync(at('tales'), at('old', 'two'), { recursive: true })
  writeFileSync(at('old', 'one', 'graft.json'), older)
  expect(await run('migrate', 'old')).toMatch(/one +graft\.json +expert\.json: one@0\.1\.0/)
  expect(existsSync(at('old', 'one', 'expert.json'))).toBe(false)
  expect(await run('migrate', 'old')).toContain('Nothing was written; add --write.')
  await run('migrate', 'old', '--write')
  const manifest = JSON.parse(readFileSync(at('old', 'one', 'expert.json'), 'utf8'))
  expect(manifest).toMatchObject({ id: 'one', kind: 'lora', system: 'Be brief.' })
  expect(existsSync(at('old', 'one', 'graft.json'))).toBe(false)
  await run('migrate', 'old', '--undo', '--write')
  expect(readFileSync(at('old', 'one', 'graft.json'), 'utf8')).toBe(older)
  expect(existsSync(at('old', 'two', 'expert.json'))).toBe(false)
  writeFileSync(at('old', 'two', 'README.md'), '---\na: &a [1]\nb: *a\n---\n')
  expect(await fail('migrate', 'old', '--write')).toContain('1 of 2 folders cannot be migrated')
  expect(await fail('add', join('old', 'two'))).toContain('an alias')
}, 300_000)

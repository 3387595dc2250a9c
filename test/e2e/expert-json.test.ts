// Which commands write expert.json, and their contents; PEFT's files next to it do not change.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { parseExpertManifest } from '../../src/registry/manifest/expert-manifest.ts'
import { graft, jsonl, scratchFolder, storyRows, succeed } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const options = { cwd: scratch.path, environment: { GRAFT_REGISTRY: at('registry') } }
const run = (...args: string[]) => succeed(args, options)
const readManifest = (name: string) =>
  parseExpertManifest(readFileSync(at(name, 'expert.json'), 'utf8'), name)

beforeAll(async () => {
  writeFileSync(at('rows.jsonl'), jsonl(storyRows.slice(0, 6)))
  writeFileSync(
    at('coder.yaml'),
    `base: stories260k\nout: coder\ndescription: Tells tales\nversion: 1.2.0\ntags: [story]\ndata: { files: rows.jsonl, license: CC0-1.0, system: Be brief. }\nschedule: { steps: 2 }\nkind: { name: lora, rank: 4 }\ntargets: [q_proj, v_proj]\n`,
  )
  await run('train', 'coder.yaml', '--seed', '5')
}, 300_000)
afterAll(() => scratch.remove())

it("train records base, data, seed, command and the adapter's cost", () => {
  expect(readManifest('coder')).toMatchObject({
    id: 'coder',
    version: '1.2.0',
    kind: 'lora',
    description: 'Tells tales',
    tags: ['story'],
    system: 'Be brief.',
    base: { id: 'stories260k', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
    data: [{ name: 'rows.jsonl', rows: 6, license: 'CC0-1.0' }],
    provenance: { command: 'graft train coder.yaml --seed 5', seed: 5 },
  })
  expect(existsSync(at('coder', 'graft.json'))).toBe(false)
  const config = JSON.parse(readFileSync(at('coder', 'adapter_config.json'), 'utf8'))
  expect(config).toMatchObject({ peft_type: 'LORA', r: 4 })
})

it('eval adds scores with intervals, and times where answers are written', async () => {
  const args = ['eval', '--data', 'rows.jsonl', '--adapter', 'coder', '--rows', '4']
  const { stdout, stderr } = await run(...args, '--generate', '--new-tokens', '4', '--json')
  expect(stderr).toContain('The scores are in coder/expert.json')
  const { metrics } = JSON.parse(stdout)
  const { scores, figures } = readManifest('coder')
  const { value, low, high, rows } = metrics[0].results[0]
  expect(scores![metrics[0].metric]).toEqual({ value, low, high, rows, data: 'rows.jsonl' })
  expect(Object.keys(scores!)).toEqual(['perplexity', 'exact-match'])
  expect(figures!.firstTokenMs).toBeGreaterThan(0)
  expect(figures!.tokensPerSecond).toBeGreaterThan(0)
  expect(figures!.machine).toMatch(/cores/)
}, 300_000)

it('eval leaves what is signed, registered or of another tool, and reports it', async () => {
  await run('experts', 'add', 'coder', '--version', '2.0.0')
  const args = ['eval', '--data', 'rows.jsonl', '--rows', '2', '--adapter']
  const before = readFileSync(at('coder', 'expert.json'), 'utf8')
  expect((await run(...args, 'coder=0.5')).stderr).not.toContain('scores')
  const { location } = JSON.parse((await run('experts', 'show', 'coder', '--json')).stdout)
  expect((await run(...args, location)).stderr).toContain('belongs to a registry')
  await run('experts', 'verify', 'coder@2.0.0')
  writeFileSync(at('coder', 'expert.sig'), '{}')
  expect((await run(...args, 'coder')).stderr).toContain('the folder is signed')
  expect(readFileSync(at('coder', 'expert.json'), 'utf8')).toBe(before)
}, 300_000)

it('compress, convert and merge keep what stays true, and name their sources', async () => {
  const { rmSync } = await import('node:fs')
  rmSync(at('coder', 'expert.sig'), { force: true })
  await run('compress', 'coder', '--rank', '2', '--out', 'small')
  await run('convert', 'coder', 'half', '--dtype', 'f16')
  await run('merge', 'coder', 'small', '--out', 'both')
  const { sha256 } = JSON.parse((await run('experts', 'add', 'coder', '--json')).stdout)
  const source = { id: 'coder', version: '1.2.0', sha256 }
  for (const [name, command] of [
    ['small', 'graft compress coder --rank 2 --out small'],
    ['half', 'graft convert coder half --dtype f16'],
  ] as const) {
    const manifest = readManifest(name)
    expect(manifest).toMatchObject({
      id: name,
      description: 'Tells tales',
      system: 'Be brief.',
      data: [{ name: 'rows.jsonl' }],
      provenance: { command, sources: [source] },
    })
    expect(manifest.scores).toBeUndefined()
  }
  const merged = readManifest('both')
  expect(merged.provenance!.sources!.map(({ id }) => id)).toEqual(['coder', 'small'])
  expect(merged.data).toHaveLength(1)
  await run('experts', 'add', 'both')
}, 300_000)

it('a name and a version that are given at adding are those of the copy', async () => {
  await run('experts', 'add', 'half', '--name', 'thin', '--version', '3.1.4')
  await run('experts', 'export', 'thin', 'out')
  expect(readManifest('out')).toMatchObject({ id: 'thin', version: '3.1.4' })
  expect(readManifest('half')).toMatchObject({ id: 'half' })
  expect(
    (await graft(['run', 'Lily', '--adapter', 'thin@^3', '--max-tokens', '2'], options)).code,
  ).toBe(0)
}, 300_000)

// What the library and trials refuse, as users call them: one line, exit code 1, and nothing is left
// half done.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { graft, jsonl, scratchFolder, storyRows, succeed } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const options = { cwd: scratch.path, environment: { GRAFT_REGISTRY: at('registry') } }
afterAll(() => scratch.remove())

it('a slice without a licence is not trained on', async () => {
  mkdirSync(at('slices', 'sql'), { recursive: true })
  const row = { prompt: 't(a)', completion: 'SELECT a FROM t' }
  for (const name of ['train', 'test'])
    writeFileSync(at('slices', 'sql', `${name}.jsonl`), jsonl([row]))
  const data = ['--data', 'slices', '--out', 'built', '--model', 'stories260k']
  const { code, stderr } = await graft(['experts', 'build', 'sql', ...data], options)
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/^graft: .*sql: the rows have no licence; .* Nothing was trained\.\n$/),
  ])
  expect(existsSync(at('built'))).toBe(false)
})

it('a version without enough votes is not promoted', async () => {
  writeFileSync(at('rows.jsonl'), jsonl(storyRows.slice(0, 4)))
  for (const [version, steps] of [
    ['1.0.0', '1'],
    ['1.1.0-rc.1', '2'],
  ] as const) {
    const out = `v${steps}`
    const train = ['train', '--data', 'rows.jsonl', '--model', 'stories260k', '--steps', steps]
    await succeed([...train, '--out', out], options)
    const channel = version === '1.0.0' ? ['--channel', 'stable'] : []
    await succeed(
      ['experts', 'add', out, '--name', 'tales', '--version', version, ...channel],
      options,
    )
  }
  await succeed(['experts', 'shadow', 'tales@1.1.0-rc.1'], options)
  const list = async () => (await succeed(['experts', 'list', 'tales', '--json'], options)).stdout
  const before = await list()
  const { code, stderr } = await graft(['experts', 'promote', 'tales'], options)
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/^graft: tales@1\.1\.0-rc\.1 is not promoted: too few votes .*\n$/),
  ])
  expect(await list()).toBe(before)
}, 60_000)

it('rows whose grader hangs are reported before anything is answered', async () => {
  const endless = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)'
  const schema = `CREATE TABLE t(a); INSERT INTO t ${endless} SELECT x FROM c`
  const row = { prompt: 'q', completion: 'SELECT a FROM t', schema }
  writeFileSync(at('hang.jsonl'), jsonl([row]))
  const asked = ['eval', '--data', 'hang.jsonl', '--model', 'stories260k']
  const { code, stderr } = await graft([...asked, '--metrics', 'execution-match'], options)
  expect([code, stderr]).toEqual([1, expect.stringContaining('took longer than 5 s')])
}, 30_000)

// The released experts as users call them: by name, with the system message of their training.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { graft, scratchFolder, succeed } from '../support/cli.ts'
import { smollm2Q4 } from '../smollm2.ts'

const scratch = scratchFolder()
const options = { cwd: scratch.path, environment: { GRAFT_REGISTRY: `${scratch.path}/registry` } }
let missing: string | undefined
beforeAll(async () => {
  const found = await smollm2Q4()
  if ('reason' in found) missing = found.reason
}, 330_000)
afterAll(() => scratch.remove())

it('sql and json-format answer in their form', async ({ skip }) => {
  if (missing !== undefined) skip(missing)
  const question = 't(name, age, city)\nWhich name has an age of 30 ?'
  const ask = async (...more: string[]) =>
    (await succeed(['run', ...more, '--max-tokens', '40', '--temperature', '0'], options)).stdout
  expect(await ask(question, '--adapter', 'sql')).toMatch(/^SELECT name FROM t WHERE age = '?30'?/)
  const json = await ask('Play a song by Ricky Bell', '--adapter', 'json-format')
  expect(JSON.parse(json)).toMatchObject({ intent: 'PlayMusic', slots: { artist: 'Ricky Bell' } })
}, 300_000)

it('a build wants a recipe that exists, and a check an expert', async () => {
  const { code, stderr } = await graft(['experts', 'build', 'sqll'], options)
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/no recipe "sqll"\. Did you mean "sql"\?/),
  ])
  expect((await graft(['experts', 'build'], options)).stderr).toMatch(/needs a recipe or --all/)
  expect((await graft(['experts', 'check', 'x'], options)).stderr).toMatch(/no expert "x"/)
  expect((await graft(['experts', 'build', 'sql', '--channel', 'x'], options)).stderr).toMatch(
    /takes no --channel/,
  )
})

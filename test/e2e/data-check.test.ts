// graft data check: its report on a file, on stdout and as JSON, with the exit codes of the other
// commands.
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { graft, jsonl, scratchFolder, storyRows, succeed } from '../support/cli.ts'

const scratch = scratchFolder()
afterAll(() => scratch.remove())

function writeRows(name: string, rows: readonly object[]): string {
  const path = join(scratch.path, name)
  writeFileSync(path, jsonl(rows))
  return path
}

describe('graft data check', () => {
  it('shows format, rows and three rows with marks, and writes nothing', async () => {
    const path = writeRows('rows.jsonl', storyRows)
    const before = readdirSync(scratch.path)
    const { stdout, stderr } = await succeed(['data', 'check', path], { cwd: scratch.path })
    expect(stderr).toBe('')
    expect(stdout).toContain('prompt-completion')
    expect(stdout).toContain('24, 24 learned')
    expect(stdout.match(/⟦ Lily saw a \w+\. The end\.⟧/g)).toHaveLength(3)
    expect(readdirSync(scratch.path)).toEqual(before)
  })
  it('counts tokens of a model as JSON', async () => {
    const path = writeRows('tokens.jsonl', storyRows)
    const args = ['data', 'check', path, '--model', 'stories260k', '--rows', '1', '--json']
    const { stdout } = await succeed(args)
    const found = JSON.parse(stdout)
    expect(found).toMatchObject({ learnedRows: 24, refusedRows: 0, tokens: { sequences: 24 } })
    expect(found.tokens.learned).toBeLessThan(found.tokens.total)
    const [{ spans }] = found.samples
    expect(spans.at(-1)).toEqual({ text: ' Lily saw a dog. The end.</s>', learned: true })
  })
  it('ends with 1 where a row is refused, and names it', async () => {
    const path = writeRows('odd.jsonl', [...storyRows, { prompt: 'a', completion: 3 }])
    const { code, stdout } = await graft(['data', 'check', path])
    expect([code, stdout.includes('row 25: "completion" must be a string, got 3')]).toEqual([
      1,
      true,
    ])
  })
  it('ends with 1 for a file that cannot be read, and lists the formats', async () => {
    const missing = await graft(['data', 'check', join(scratch.path, 'no.jsonl')])
    expect([missing.code, missing.stdout]).toEqual([1, ''])
    expect(missing.stderr).toContain('no.jsonl: there is no such file.')
    const unknown = await graft(['data', 'check', writeRows('unknown.jsonl', [{ a: 1 }])])
    expect(unknown.code).toBe(1)
    expect(unknown.stderr).toContain('row 1 is of no known format; its keys are a.')
  })
  it.each([
    [['data'], 'an argument is missing: graft data check <file.jsonl ...>'],
    [['data', 'chek', 'x'], 'Did you mean "check"?'],
    [['data', 'check', 'x', '--system', 'y'], '--system depends on a model'],
  ])('%j is wrong usage: 2', async (args, message) => {
    const { code, stdout, stderr } = await graft(args)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain(message)
  })
})

// graft batch: a file of requests answered without a server, stopped and resumed, and what is wrong
// with a file.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { graft, scratchFolder, succeed } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (name: string): string => join(scratch.path, name)
const timeout = 120_000
afterAll(() => scratch.remove())

const line = (id: string, body: object, url = '/v1/completions') =>
  JSON.stringify({ custom_id: id, method: 'POST', url, body })
const good = (id: string) => line(id, { prompt: `Once ${id}`, max_tokens: 4, temperature: 0 })
const write = (name: string, lines: readonly string[]): string => {
  writeFileSync(at(name), lines.join('\n'))
  return at(name)
}
const command = (input: string, out: string, ...more: string[]): string[] => [
  ...['batch', input, '--model', 'stories260k', '--out', at(out), '--registry', 'none', ...more],
]
const readResults = (name: string) =>
  readFileSync(at(name), 'utf8')
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text))

describe('graft batch', { timeout }, () => {
  it('answers every request, of several routes, in the order of the file', async () => {
    const input = write('in.jsonl', [
      good('a'),
      line('b', { input: 'a cat' }, '/v1/embeddings'),
      good('c'),
    ])
    const { stdout } = await succeed([...command(input, 'out.jsonl'), '--json'])
    expect(JSON.parse(stdout)).toMatchObject({ total: 3, answered: 3, failed: 0 })
    const results = readResults('out.jsonl')
    expect(results.map((one) => [one.custom_id, one.response.status_code])).toEqual([
      ['a', 200],
      ['b', 200],
      ['c', 200],
    ])
    const again = await graft(command(input, 'out.jsonl'))
    expect([again.code, again.stderr]).toEqual([
      expect.any(Number),
      expect.stringContaining('exists already'),
    ])
  })

  it('continues where a run was stopped, and reports what was refused', async () => {
    const input = write('more.jsonl', [good('a'), good('b'), line('c', { prompt: 'x', n: 900 })])
    const kept = { id: 'batch_req_1', custom_id: 'a', response: { status_code: 200 }, error: null }
    write('more-out.jsonl.part', [JSON.stringify(kept), '{"id":"batch_req_2","cust'])
    const fresh = await graft(command(input, 'more-out.jsonl'))
    expect(fresh.stderr).toContain('Continue with --resume')
    const resumed = await graft(command(input, 'more-out.jsonl', '--resume'))
    expect([resumed.code, resumed.stdout]).toEqual([
      1,
      expect.stringContaining('2 answered, 1 refused'),
    ])
    const results = readResults('more-out.jsonl')
    expect(results[0]).toEqual(kept)
    expect(results[2].response.body.error.param).toBe('n')
  })

  it('names the lines that are wrong, and answers none', async () => {
    const input = write('bad.jsonl', [good('a'), '{', good('a')])
    const { code, stderr } = await graft(command(input, 'bad-out.jsonl'))
    expect(code).not.toBe(0)
    expect(stderr).toContain('Line 2 is not valid JSON')
    expect(stderr).toContain('Line 3 custom_id: "a" is that of line 1 already.')
    const missing = await graft(command(at('nowhere.jsonl'), 'x.jsonl'))
    expect(missing.stderr).toContain('there is no such file')
  })
})

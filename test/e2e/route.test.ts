// graft route: train, eval, explain, as users type them.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { writeDecisionRow, writeOutcomeRow } from '../../src/route/log/route-log.ts'
import { loadModel, saveAdapter } from '../../src/node/index.ts'
import { graftHere, jsonl, scratchFolder } from '../support/cli.ts'
import { createNoisyExpert } from '../support/server.ts'

const scratch = scratchFolder()
const at = (name: string): string => join(scratch.path, name)

const nouns: Readonly<Record<string, readonly string[]>> = {
  sql: ['table', 'query', 'rows', 'columns'],
  music: ['song', 'album', 'artist', 'playlist'],
}
const rows = Object.entries(nouns).flatMap(([expert, words]) =>
  words.flatMap((a) =>
    words.map((b) => ({ text: `please show me the ${a} and the ${b}`, expert })),
  ),
)

function writeExpert(folder: string, id: string, keywords: readonly string[]): void {
  const path = join(at('experts'), folder)
  mkdirSync(path, { recursive: true })
  const manifest = { layout: 1, id, version: '1.0.0', kind: 'lora', base: { id: 'stories260k' } }
  const routing = { keywords, examples: [`a ${keywords[0]}`] }
  writeFileSync(join(path, 'expert.json'), JSON.stringify({ ...manifest, routing }))
}

beforeAll(() => {
  writeFileSync(at('prompts.jsonl'), jsonl([...rows, { text: 'how are you', expert: null }]))
  writeExpert('one', 'sql', ['database', 'select'])
  writeExpert('two', 'music', ['band'])
})

const run = async (...args: string[]) => {
  const { code, stdout, stderr } = await graftHere(['route', ...args])
  return { code, stdout, stderr, value: stdout.startsWith('{') ? JSON.parse(stdout) : undefined }
}

describe('graft route', () => {
  it('trains by keywords of prompts and manifests, evaluates and explains', async () => {
    const out = at('keyword.json')
    const trained = await run(
      ...['train', '--kind', 'keyword', '--data', at('prompts.jsonl'), '--experts', at('experts')],
      ...['--out', out],
    )
    expect([trained.code, trained.stderr]).toEqual([0, expect.any(String)])
    expect(trained.stdout).toMatch(/keyword, 2 experts, 33 prompts/)
    const file = JSON.parse(readFileSync(out, 'utf8')) as { experts: { sha256: string }[] }
    expect(file.experts[0]!.sha256).toMatch(/^[0-9a-f]{64}$/)
    const evaluated = await run('eval', out, '--data', at('prompts.jsonl'), '--json')
    expect(evaluated.value).toMatchObject({ accuracy: 1, rows: 32, outOfScopeRows: 1 })
    const shown = await run('eval', out, '--data', at('prompts.jsonl'), '--experts', at('experts'))
    expect(shown.stdout).toMatch(/threshold {2}coverage {2}errors/)
    const explained = await run('explain', out, 'select all of the database', '--json')
    expect(explained.value).toMatchObject({ expert: 'sql', kind: 'keyword' })
    expect(explained.value.clues[0]).toMatchObject({ kind: 'term', expert: 'sql' })
  })
  it('learns from a file of prompts that no expert should answer', async () => {
    const foreign = ['show me the way', 'how are the neighbours and the dog'].map((text) => ({
      text,
    }))
    writeFileSync(at('others.jsonl'), jsonl([...foreign, { prompt: 'hi', expert: 'none' }]))
    const data = ['train', '--kind', 'keyword', '--data', at('prompts.jsonl')]
    const none = ['--none', at('others.jsonl')]
    const trained = await run(...data, ...none, '--out', at('foreign.json'))
    expect(trained.stdout).toMatch(/2 experts, 36 prompts \(4 of none\)/)
    const twice = ['--none', at('prompts.jsonl'), '--out', at('foreign.json')]
    const wrong = await run(...data, ...twice)
    expect([wrong.code, wrong.stderr]).toEqual([
      1,
      expect.stringMatching(/row 1: names the expert "sql", and these rows are prompts of none/),
    ])
  })
  it('trains by vectors of the base, and asks the base again when it decides', async () => {
    const out = at('embedding.json')
    const trained = await run(
      ...['train', '--data', at('prompts.jsonl'), '--model', 'stories260k', '--layers', '1,3'],
      ...['--option', 'head=centroid', '--out', out, '--json'],
    )
    expect(trained.value).toMatchObject({ kind: 'embedding', experts: ['music', 'sql'] })
    const explained = await run('explain', out, 'show me the album')
    expect(explained.stdout).toMatch(/example {2}"please show me the/)
  })
  it('trains by vectors of a sentence encoder, which the file names', async () => {
    const encoder = fileURLToPath(new URL('../parity/encoder', import.meta.url))
    const out = at('encoder.json')
    const data = ['train', '--data', at('prompts.jsonl'), '--encoder', encoder, '--out', out]
    const trained = await run(...data, '--option', 'head=centroid', '--json')
    expect(trained.value).toMatchObject({ kind: 'embedding', experts: ['music', 'sql'] })
    const explained = await run('explain', out, 'show me the album')
    expect(explained.stdout).toMatch(/example {2}"please show me the/)
    const mixed = await run(...data, '--layers', '1')
    expect([mixed.code, mixed.stderr]).toEqual([
      2,
      expect.stringMatching(/--encoder, and --layers/),
    ])
    const words = await run(...data, '--kind', 'keyword')
    expect(words.stderr).toMatch(/--kind keyword reads none/)
  })
  it('trains from a log, and reports what another router would have earned there', async () => {
    const time = '2026-11-30T00:00:00Z'
    const log = rows.map(({ text, expert }, i) => {
      const decision = {
        expert: 'sql',
        confidence: 0.6,
        scores: [],
        reason: 'drawn',
        propensity: 0.5,
      }
      const reward = expert === 'sql' ? 1 : 0
      return (
        writeDecisionRow({ id: `r${i}`, time, kind: 'fixed', text, decision }) +
        writeOutcomeRow(`r${i}`, time, { reward, right: expert })
      )
    })
    writeFileSync(at('log.jsonl'), log.join(''))
    const out = at('from-log.json')
    const trained = await run('train', '--kind', 'keyword', '--from', at('log.jsonl'), '-o', out)
    expect(trained.code).toBe(0)
    const { value } = await run('eval', out, '--from', at('log.jsonl'), '--json')
    expect(value.offPolicy).toMatchObject({ rows: 32, matched: 16, logged: { value: 0.5 } })
    expect(value.offPolicy.snips.value).toBe(1)
  })
  it('refuses what cannot be meant, and leaves an older file alone', async () => {
    const out = at('keep.json')
    writeFileSync(out, 'mine')
    const misspelt = await run(
      'train',
      '--kind',
      'keywrd',
      '--data',
      at('prompts.jsonl'),
      '-o',
      out,
    )
    expect([misspelt.code, misspelt.stderr]).toEqual([1, expect.stringMatching(/"keyword"\?/)])
    writeFileSync(at('wrong.jsonl'), jsonl([{ text: 'a', expert: 'sqll' }]))
    const unknown = await run(
      ...['train', '--kind', 'keyword', '--data', at('wrong.jsonl'), '--experts', at('experts')],
      ...['-o', out],
    )
    expect(unknown.stderr).toMatch(/the expert "sqll".*Did you mean "sql"\?/)
    expect(readFileSync(out, 'utf8')).toBe('mine')
    const broken = await run('eval', out, '--data', at('prompts.jsonl'))
    expect([broken.code, broken.stderr]).toEqual([1, expect.stringMatching(/keep\.json/)])
    const absent = await run('explain', at('none.json'), 'hello')
    expect(absent.stderr).toMatch(/no such router/)
    const rowless = await run('train', '--kind', 'keyword', '-o', out)
    expect([rowless.code, rowless.stderr]).toEqual([2, expect.stringMatching(/--experts/)])
    writeExpert('three', 'sql', ['more'])
    const twice = await run('train', '--kind', 'keyword', '--experts', at('experts'), '-o', out)
    expect(twice.stderr).toMatch(/two experts have the name "sql"/)
  })

  it('trains a policy without a base, and arrow on the adapters of a folder', async () => {
    const small = ['--option', 'buckets=512', '--option', 'epochs=6', '--option', 'holdOut=0']
    const policy = await run(
      'train',
      '--data',
      at('prompts.jsonl'),
      '--kind',
      'policy',
      ...small,
      '--out',
      at('policy.json'),
    )
    expect([policy.code, policy.stderr]).toEqual([0, expect.not.stringContaining('error')])
    const judged = await run('eval', at('policy.json'), '--data', at('prompts.jsonl'), '--json')
    expect(judged.code).toBe(0)
    const model = await loadModel('stories260k')
    for (const [seed, name] of ['one', 'two'].entries()) {
      const adapter = createNoisyExpert(model, seed + 1)
      await saveAdapter(adapter, join(at('tuned'), name))
    }
    await model.dispose()
    const base = ['--model', 'stories260k', '--option', 'layers=5']
    const arrow = await run(
      'train',
      '--experts',
      at('tuned'),
      '--kind',
      'arrow',
      ...base,
      '--out',
      at('arrow.json'),
    )
    expect([arrow.code, arrow.stderr]).toEqual([0, expect.not.stringContaining('error')])
    const told = await run('explain', at('arrow.json'), 'Once upon a time', '--json')
    expect(['one', 'two']).toContain(
      told.value.decision?.scores[0].expert ?? told.value.scores[0].expert,
    )
    const bare = await run(
      'train',
      '--data',
      at('prompts.jsonl'),
      '--kind',
      'arrow',
      ...base,
      '--out',
      at('bare.json'),
    )
    expect(bare.stderr).toMatch(/give --experts/)
  }, 120_000)
})

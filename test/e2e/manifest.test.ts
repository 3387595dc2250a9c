// graft train with manifests: one, several over one base, overridden, resumed, wrong.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadAdapter } from '../../src/node/adapters.ts'
import { readExpertMetadata } from '../../src/node/expert/expert-notes.ts'
import { graft, jsonl, scratchFolder, storyRows, succeed } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const weights = (out: string): string =>
  readFileSync(join(out, 'adapter_model.safetensors')).toString('base64')

function manifest(name: string, text: string): string {
  writeFileSync(at('experts', name), text)
  return at('experts', name)
}

const usual = (more = ''): string => `base: stories260k
kind: { name: lora, rank: 4 }
targets: attention
data: { files: ../rows.jsonl, validation: 0.2 }
batch: { rows: 2, tokens: 128 }
schedule: { steps: 6, learningRate: 5e-3, validateEverySteps: 3, saveEverySteps: 2 }
${more}`

beforeAll(() => {
  mkdirSync(at('experts'))
  writeFileSync(at('rows.jsonl'), jsonl(storyRows))
})
afterAll(() => scratch.remove())

describe('a manifest', () => {
  it('trains the same expert as the same options, in a folder next to the manifest', async () => {
    await succeed(['train', manifest('lily.yaml', usual())])
    await succeed([
      ...[
        'train',
        '--model',
        'stories260k',
        '--data',
        at('rows.jsonl'),
        '--out',
        at('by-options'),
        '--kind',
        'lora',
        '--rank',
        '4',
      ],
      ...[
        '--targets',
        'attention',
        '--validation',
        '0.2',
        '--batch-rows',
        '2',
        '--batch-tokens',
        '128',
        '--steps',
        '6',
      ],
      ...['--learning-rate', '5e-3', '--validate-every', '3', '--save-every', '2'],
    ])
    expect(weights(at('experts', 'lily'))).toBe(weights(at('by-options')))
  })
  it('is overridden by options, from wherever the command is typed', async () => {
    const path = manifest('override.yaml', usual('out: out/override'))
    const { stdout } = await succeed(
      ['train', 'override.yaml', '--steps', '2', '--rank', '2', '--json'],
      { cwd: at('experts') },
    )
    expect(JSON.parse(stdout)).toMatchObject({
      manifest: 'override.yaml',
      steps: 2,
      out: at('experts', 'out', 'override'),
    })
    const config = JSON.parse(
      readFileSync(at('experts', 'out', 'override', 'adapter_config.json'), 'utf8'),
    ) as { r: number }
    expect(config.r).toBe(2)
    expect(existsSync(path)).toBe(true)
  })
  it('is gone on with by --resume, to the weights of a run that was never stopped', async () => {
    const path = manifest('resumed.yaml', usual())
    const child = await graft(['train', path, '--json'], {
      onStart: (process) => {
        const timer = setInterval(() => {
          if (!existsSync(at('experts', 'resumed', 'checkpoints', 'checkpoint-a.safetensors')))
            return
          clearInterval(timer)
          process.kill('SIGKILL')
        }, 2)
        process.on('close', () => clearInterval(timer))
      },
    })
    if (child.signal === 'SIGKILL') await succeed(['train', path, '--resume'])
    expect(weights(at('experts', 'resumed'))).toBe(weights(at('experts', 'lily')))
  })
  it('reports the evaluation after the training, compared with the base', async () => {
    const text = usual(
      `evaluation: { metrics: [perplexity, token-f1], rows: 4, newTokens: 8 }
name: cats
description: Tells of cats.
tags: [story, cat]
version: 1.2.0
author: A. Person
license: Apache-2.0`,
    )
    const { stdout } = await succeed(['train', manifest('judged.yaml', text), '--json'])
    const { evaluation } = JSON.parse(stdout) as {
      evaluation: { rows: number; metrics: { metric: string; results: { value: number }[] }[] }
    }
    expect(evaluation.rows).toBe(4)
    expect(evaluation.metrics.map(({ metric }) => metric)).toEqual(['perplexity', 'token-f1'])
    const [base, expert] = evaluation.metrics[0]!.results
    expect(expert!.value).toBeLessThan(base!.value)
    // and keeps it, beside what the manifest says of the expert
    const out = at('experts', 'judged')
    const described = {
      name: 'cats',
      description: 'Tells of cats.',
      version: '1.2.0',
      author: 'A. Person',
      license: 'Apache-2.0',
    }
    const { metadata = {} } = await loadAdapter(out)
    expect(metadata).toMatchObject({ ...described, tags: 'story cat' })
    const scores = JSON.parse(metadata['graft_scores']!) as Record<string, number>
    expect(scores['perplexity']).toBe(expert!.value)
    expect(Object.keys(scores)).toEqual(['validation_loss', 'perplexity', 'token-f1'])
    const said = (await readExpertMetadata(out))!.manifest!
    expect(said).toMatchObject({ ...described, id: 'cats', tags: ['story', 'cat'] })
    const { value, low, high } = said.scores!['perplexity']!
    expect(value).toBe(expert!.value)
    expect([low! < value!, value! < high!]).toEqual([true, true])
    expect(Object.keys(said.scores!)).toEqual(Object.keys(scores))
    expect(Date.parse(said.created!)).toBeLessThanOrEqual(Date.parse(said.modified!))
  })
})

describe('several manifests', () => {
  it('are trained one after another to the same experts, and one that fails does not stop the others', async () => {
    const good = manifest('first.yaml', usual())
    const bad = manifest('diverges.yaml', usual('optimizer: { clip: 0 }').replace('5e-3', '1e30'))
    const last = manifest('last.yaml', usual('seed: 7'))
    const { code, stdout, stderr } = await graft(['train', good, bad, last, '--json'])
    expect(code).toBe(1)
    const { experts } = JSON.parse(stdout) as {
      experts: { manifest: string; reason?: string; error?: { name: string } }[]
    }
    expect(experts.map(({ manifest: path, error }) => [path, error?.name])).toEqual([
      [good, undefined],
      [bad, 'NumericError'],
      [last, undefined],
    ])
    expect(stderr).toMatch(/1 of 3[^]*2 of 3[^]*3 of 3/)
    expect(stderr).toContain(`graft: ${bad}: Training stopped at step`)
    expect(weights(at('experts', 'first'))).toBe(weights(at('experts', 'lily')))
    expect(weights(at('experts', 'last'))).not.toBe(weights(at('experts', 'lily')))
    expect(existsSync(at('experts', 'diverges', 'adapter_config.json'))).toBe(false)
  })
  it('with one folder are refused', async () => {
    const one = manifest('one.yaml', usual('out: same'))
    const two = manifest('two.yaml', usual('out: ./same'))
    const { code, stderr } = await graft(['train', one, two])
    expect(code).toBe(2)
    expect(stderr).toContain(
      `${two}:7: out: is ${at('experts', 'same')}; another training manifest has the same folder`,
    )
  })
})

describe('problems are reported at once, with exit code 2, before anything is opened or written', () => {
  it('in keys and values, by file and line, with the name that was meant', async () => {
    const first = manifest(
      'wrong.yaml',
      'base: stories260k\nkind: { name: lora, rnk: 4 }\ndata: { files: rows.jsonl }\nschedule:\n  name: cosin\n  epochs: 0\nsead: 1\n',
    )
    const second = manifest(
      'wrong-too.yaml',
      'base: stories260k\ndata: { files: ../rows.jsonl }\nevaluation: { metrics: [exact-mach] }\n',
    )
    const { code, stdout, stderr } = await graft(['train', first, second])
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain('5 things are wrong')
    expect(stderr).toMatch(
      /wrong\.yaml:2: kind\.rnk: there is no such key, expected one of .*\. Did you mean rank\?/,
    )
    expect(stderr).toMatch(
      /wrong\.yaml:5: schedule\.name: got "cosin", expected one of .*\. Did you mean cosine\?/,
    )
    expect(stderr).toMatch(
      /wrong\.yaml:6: schedule\.epochs|wrong\.yaml:7: sead: there is no such key.*Did you mean seed\?/,
    )
    expect(stderr).toMatch(
      /wrong-too\.yaml:3: evaluation\.metrics: got \["exact-mach"\], .*Did you mean exact-match\?/,
    )
    expect(existsSync(at('experts', 'wrong'))).toBe(false)
  })
  it('in what the keys name: files, forms of rows, labels, options of the kind, rows to judge on', async () => {
    writeFileSync(
      at('labels.jsonl'),
      jsonl([
        { prompt: 'a', completion: 'ham' },
        { prompt: 'b', completion: 'spma' },
      ]),
    )
    const path = manifest(
      'inputs.yaml',
      `base: no-such-base
kind: prompt-tuning
targets: attention
data:
  files: [missing.jsonl, ../labels.jsonl]
  format: text
  labels: [ham, spam]
evaluation: { metrics: [exact-match], data: gone.jsonl }
`,
    )
    const { code, stderr } = await graft(['train', path])
    expect(code).toBe(2)
    expect(stderr).toContain(
      `inputs.yaml:5: data.files: ${at('experts', 'missing.jsonl')}: there is no such file.`,
    )
    expect(stderr).toContain('rows are of the format "prompt-completion", expected "text"')
    expect(stderr).toContain(`${at('experts', 'gone.jsonl')}: there is no such file.`)
    expect(stderr).toMatch(/inputs\.yaml:2: kind: .*targets/)
    const labels = await graft([
      'train',
      manifest('labels.yaml', 'data: { files: ../labels.jsonl, labels: [ham, spam] }'),
    ])
    expect(labels.stderr).toMatch(
      /row 2: "spma" is none of the labels ham, spam\. Did you mean spam\?/,
    )
  })
  it('in the file itself', async () => {
    expect((await graft(['train', manifest('no.yaml', 'base: [')])).stderr).toMatch(
      /no\.yaml:1: is not YAML: /,
    )
    expect((await graft(['train', manifest('twice.yaml', 'base: a\nbase: b\n')])).stderr).toMatch(
      /twice\.yaml:2: is not YAML: Map keys must be unique/,
    )
    expect((await graft(['train', manifest('empty.yaml', '# nothing\n')])).stderr).toContain(
      'data: is missing',
    )
    const none = await graft(['train', at('experts', 'none.yaml')])
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('there is no such file')])
  })
  it('under --json is one value with every fault', async () => {
    const { code, stdout } = await graft(['train', at('experts', 'wrong.yaml'), '--json'])
    expect(code).toBe(2)
    expect(JSON.parse(stdout)).toMatchObject({ error: { name: 'ManifestError' } })
  })
})

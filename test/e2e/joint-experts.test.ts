// An expert of two kinds from the command line: trained, stopped and resumed with the same bits,
// inspected, listed, asked, and its parts by themselves.

import { writeFileSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadAdapter, saveAdapter, train } from '../../src/node/index.ts'
import { graftHere, jsonl, scratchFolder, storyRows, type CliResult } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
afterAll(() => scratch.remove())

const options = [
  ...['--model', 'stories260k', '--data', at('rows.jsonl'), '--steps', '12', '--validation', '0'],
]
const base = ['train', '--kind', 'ia3,prompt-tuning', '--virtual-tokens', '4']

let made: CliResult
beforeAll(async () => {
  writeFileSync(at('rows.jsonl'), jsonl(storyRows))
  made = await graftHere([
    ...[...base, '--model', 'stories260k', '--data', at('rows.jsonl'), '--steps', '12'],
    ...['--out', at('whole'), '--json'],
  ])
}, 120_000)

describe('an expert of two kinds', () => {
  it('is a folder of PEFT parts, and lowers the loss', async () => {
    expect(made.code, made.stderr).toBe(0)
    expect((await readdir(at('whole'))).toSorted()).toEqual(
      expect.arrayContaining(['adapter_config.json', 'expert.json', 'ia3', 'prompt-tuning']),
    )
    const read = async (...parts: string[]) =>
      JSON.parse(await readFile(at('whole', ...parts), 'utf8'))
    expect(await read('ia3', 'adapter_config.json')).toMatchObject({ peft_type: 'IA3' })
    expect(await read('prompt-tuning', 'adapter_config.json')).toMatchObject({
      peft_type: 'PROMPT_TUNING',
      num_virtual_tokens: 4,
    })
    const history = await readFile(at('whole', 'history.jsonl'), 'utf8')
    const losses = history
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .filter(({ type }) => type === 'step')
      .map(({ loss }) => loss as number)
    expect(losses.at(-1)).toBeLessThan(losses[0]! * 0.9)
  })

  it('trains both parts, each at a rate of its own', async () => {
    const { tensors, config } = await loadAdapter(at('whole'))
    const scales = [...tensors].find(([key]) => key.includes('ia3_l'))![1]
    expect(Math.max(...(scales.data as Float32Array).map((x) => Math.abs(x - 1)))).toBeGreaterThan(
      0.02,
    )
    expect(tensors.get('prompt_embeddings')!.shape).toEqual([4, 64])
    expect(config).toMatchObject({ parts: [{ kind: 'ia3' }, { kind: 'prompt-tuning' }] })
  })

  it('ends with the same bits after it was stopped and resumed', async () => {
    const stop = new AbortController()
    const given = {
      model: 'stories260k',
      adapter: { kind: ['ia3', 'prompt-tuning'], config: { virtualTokens: 4 } },
      data: at('rows.jsonl'),
      steps: 12,
      out: at('parted'),
    } as const
    const run = train({ ...given, checkpoint: { everySteps: 1 } as never, signal: stop.signal })
    for await (const event of run) if (event.type === 'step-end' && event.step === 5) stop.abort()
    const { reason } = await train({ ...given, resume: true } as never).done
    expect(reason).toBe('finished')
    const [whole, parted] = [await loadAdapter(at('whole')), await loadAdapter(at('parted'))]
    expect([...parted.tensors]).toEqual([...whole.tensors])
  })

  it('is inspected, listed and asked', async () => {
    const inspected = await graftHere(['inspect', at('whole'), '--json'])
    expect(JSON.parse(inspected.stdout)).toMatchObject({
      kind: 'ia3+prompt-tuning',
      parameters: 4 * 64 + 5 * (32 + 32 + 172),
      config: { ia3: { start: 'ones' }, 'prompt-tuning': { virtualTokens: 4 } },
    })
    const shown = await graftHere(['inspect', at('whole'), '--model', 'stories260k'])
    expect(shown.stdout).toMatch(/ia3 targets[^]*prompt-tuning virtualTokens/)
    const listed = await graftHere(['adapters', at('whole'), '--json'])
    const { saved } = JSON.parse(listed.stdout) as { saved: { kind: string }[] }
    expect(new Set(saved.map(({ kind }) => kind))).toEqual(new Set(['ia3+prompt-tuning']))
    const asked = await graftHere(['run', 'Lily, dog.', '--adapter', at('whole'), '--json'])
    expect(asked.code, asked.stderr).toBe(0)
    const part = await graftHere(['run', 'Lily, dog.', '--adapter', at('whole', 'ia3'), '--json'])
    expect(JSON.parse(part.stdout).text).not.toBe(JSON.parse(asked.stdout).text)
  })

  it('is converted to fewer bits, part by part', async () => {
    const converted = await graftHere([
      'convert',
      at('whole'),
      at('small'),
      '--dtype',
      'int8',
      '--json',
    ])
    expect(converted.code, converted.stderr).toBe(0)
    const { sizeBytes, tensorError } = JSON.parse(converted.stdout) as Record<string, number>
    expect(sizeBytes).toBeGreaterThan(0)
    expect(tensorError).toBeLessThan(0.01)
    expect((await loadAdapter(at('small'))).kind).toBe('ia3+prompt-tuning')
    const merged = await graftHere(['merge', at('whole'), at('whole'), '--out', at('merged')])
    expect(merged.stderr).toMatch(/name the folder of the part that does/)
  })

  it('is replaced whole by an adapter of another kind', async () => {
    const joint = await loadAdapter(at('whole'))
    await saveAdapter(joint, at('replaced'))
    await saveAdapter(await loadAdapter(at('whole', 'ia3')), at('replaced'))
    expect((await readdir(at('replaced'))).toSorted()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
    ])
    await saveAdapter(joint, at('replaced'))
    expect((await readdir(at('replaced'))).toSorted()).toEqual([
      'adapter_config.json',
      'ia3',
      'prompt-tuning',
    ])
    expect((await loadAdapter(at('replaced'))).kind).toBe('ia3+prompt-tuning')
    await rm(at('replaced'), { recursive: true })
  })

  it('is described by a manifest, whose keys are checked', async () => {
    const manifest = (kind: string): string =>
      `base: stories260k\nout: ./made\n${kind}\ndata:\n  files: rows.jsonl\nschedule:\n  steps: 2\n`
    const run = async (kind: string, ...more: string[]) => {
      writeFileSync(at('expert.yaml'), manifest(kind))
      return graftHere(['train', at('expert.yaml'), ...more])
    }
    const dry = await run('kind: [ia3, prompt-tuning]', '--overwrite', '--json')
    expect(dry.code, dry.stderr).toBe(0)
    const nested =
      'kind:\n  name: [lora, prompt-tuning]\n  rank: 2\n  lora:\n    targets: [q_proj]\n'
    const nestedRun = await run(nested, '--overwrite', '--json')
    expect(nestedRun.code, nestedRun.stderr).toBe(0)
    expect((await loadAdapter(at('made'))).config).toMatchObject({
      parts: [{ kind: 'lora', config: { rank: 2, targets: ['q_proj'] } }, {}],
    })
    for (const [wrong, message] of [
      ['kind: [ia3, promt-tuning]', /Did you mean prompt-tuning/],
      ['kind: [prompt-tuning, prefix-tuning]', /both put tokens before/],
      ['kind:\n  name: [ia3, prompt-tuning]\n  virtualToken: 4', /virtualTokens/],
      ['kind:\n  name: [ia3, prompt-tuning]\n  ia3:\n    feedForwrd: []', /feedForward/],
    ] as const) {
      const refused = await run(wrong, '--overwrite')
      expect(refused.code).not.toBe(0)
      expect(refused.stderr).toMatch(message)
    }
    const wrongKind = [...base.slice(0, 2), 'ia3,promt-tuning', '--out', at('none'), ...options]
    const option = await graftHere(wrongKind)
    expect(option.stderr).toMatch(/--kind[^]*prompt-tuning/)
    expect(option.code).toBe(2)
  })
})

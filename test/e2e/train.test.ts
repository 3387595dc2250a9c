// From a file of rows to an expert and back: train, look at it, ask it, convert it; what is written
// and where.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { graft, jsonl, scratchFolder, storyRows, succeed } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const common = [
  '--model',
  'stories260k',
  '--data',
  at('rows.jsonl'),
  '--learning-rate',
  '5e-3',
  '--batch-rows',
  '1',
]

beforeAll(async () => {
  writeFileSync(at('rows.jsonl'), jsonl(storyRows))
  await succeed([
    'train',
    ...common,
    '--out',
    at('expert'),
    '--epochs',
    '12',
    '--validation',
    '0.15',
    '--json',
  ])
})
afterAll(() => scratch.remove())

describe('graft train', () => {
  it('trains a role on its own examples, with its rank and layers unless others are given', async () => {
    const out = at('role')
    const shared = ['train', '--role', 'reviewer', '--model', 'stories260k', '--steps', '2']
    const options = ['--batch-tokens', '512', '--out', out, '--lora-plus', '4', '--json']
    const summary = JSON.parse((await succeed([...shared, ...options])).stdout) as { data: string }
    expect(summary.data).toBe('synthetic reviewer tasks')
    const read = () => JSON.parse(readFileSync(join(out, 'adapter_config.json'), 'utf8')) as object
    expect(read()).toMatchObject({ r: 8, lora_alpha: 16, target_modules: ['q_proj', 'v_proj'] })
    await succeed([...shared, ...options, '--rank', '2', '--data', at('rows.jsonl'), '--overwrite'])
    expect(read()).toMatchObject({ r: 2, lora_alpha: 4, target_modules: ['q_proj', 'v_proj'] })
  })
  it('shows with --plan what of three rows is learned, and writes nothing', async () => {
    const options = ['train', ...common, '--out', at('planned'), '--plan']
    const { stdout } = await succeed(options)
    const { prompt, completion } = storyRows[2]!
    expect(stdout).toContain(`  row 3\n    <s> ${prompt}⟦${completion}</s>⟧`)
    expect(stdout).not.toContain('  row 4\n')
    const { samples } = JSON.parse((await succeed([...options, '--json'])).stdout) as {
      samples: { row: number }[]
    }
    expect(samples.map(({ row }) => row)).toEqual([1, 2, 3])
    expect(existsSync(at('planned'))).toBe(false)
  })
  it('writes a PEFT folder, a loss curve, the history and checkpoints', () => {
    expect(readdirSync(at('expert')).sort()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
      'checkpoints',
      'expert.json',
      'history.jsonl',
      'loss.svg',
    ])
    const config = JSON.parse(readFileSync(at('expert', 'adapter_config.json'), 'utf8')) as Record<
      string,
      unknown
    >
    expect(config).toMatchObject({
      peft_type: 'LORA',
      r: 16,
      lora_alpha: 32,
      base_model_name_or_path: 'stories260k',
      task_type: 'CAUSAL_LM',
    })
    expect(readFileSync(at('expert', 'loss.svg'), 'utf8')).toMatch(/^<svg/)
    const history = readFileSync(at('expert', 'history.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string })
    expect(history.filter(({ type }) => type === 'validation')).toHaveLength(12)
  })
  it('tells what it does and what to try next', async () => {
    const { code, stdout, stderr } = await graft([
      'train',
      ...common,
      '--out',
      at('told'),
      '--steps',
      '3',
      '--targets',
      'q_proj,v_proj',
      '--rank',
      '4',
    ])
    expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
    expect(stdout).toContain('24 rows of')
    expect(stdout).toContain('trainable parameters, 3 steps')
    for (const next of ['run "..."', 'eval --data held-out.jsonl', 'serve'])
      expect(stdout).toContain(`scripts/graft.mjs ${next} --adapter `)
    expect(stderr).toMatch(/training .* 0 %/)
  })
  it('does not replace an expert unless asked to', async () => {
    const before = readFileSync(at('told', 'adapter_model.safetensors'))
    const args = ['train', ...common, '--out', at('told'), '--steps', '4', '--rank', '4']
    const refused = await graft(args)
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('holds an adapter already')
    expect(readFileSync(at('told', 'adapter_model.safetensors')).equals(before)).toBe(true)
    expect((await graft([...args, '--overwrite'])).code).toBe(0)
    expect(readFileSync(at('told', 'adapter_model.safetensors')).equals(before)).toBe(false)
  })
})

describe('the expert', () => {
  const ask = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await graft([
      'run',
      'Lily, ball.',
      '--stop',
      'The end.',
      '--max-tokens',
      '30',
      '--json',
      ...args,
    ])
    expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
    return (JSON.parse(stdout) as { text: string }).text.trim()
  }
  it('answers as it was trained; the base does not', async () => {
    expect(await ask('--adapter', at('expert'))).toBe('Lily saw a ball.')
    expect(await ask('--model', 'stories260k')).not.toContain('saw a ball.')
  })
  it('does better than the base by graft eval, which compares its answers too', async () => {
    const score = async (...args: string[]) => {
      const { code, stdout, stderr } = await graft([
        'eval',
        '--data',
        at('rows.jsonl'),
        '--generate',
        '--stop',
        'The end.',
        '--new-tokens',
        '30',
        '--json',
        ...args,
      ])
      expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
      return JSON.parse(stdout) as {
        loss: number
        exactMatch: number
        rows: number
        validJson: null
      }
    }
    const base = await score('--model', 'stories260k')
    const expert = await score('--adapter', at('expert'))
    expect(expert).toMatchObject({ rows: 24, validJson: null })
    expect(expert.loss).toBeLessThan(base.loss / 2)
    expect(base.exactMatch).toBe(0)
    expect(expert.exactMatch).toBeGreaterThan(0.8)
  })
  it('is held against bounds by graft eval --require, with a report for continuous integration', async () => {
    const check = (...args: string[]) =>
      graft(['eval', '--data', at('rows.jsonl'), '--adapter', at('expert'), ...args])
    const met = await check('--require', 'perplexity<=1e6', '--rows', '4')
    expect([met.code, met.stdout]).toEqual([0, expect.stringMatching(/^met: perplexity of /m)])
    const missed = await check(
      ...['--require', 'perplexity<=1', '--junit', at('report.xml'), '--rows', '4', '--json'],
    )
    expect(missed.code).toBe(1)
    expect(JSON.parse(missed.stdout)).toMatchObject({
      checks: [{ metric: 'perplexity', atMost: 1, met: false }],
    })
    const report = readFileSync(at('report.xml'), 'utf8')
    expect(report).toContain('tests="1" failures="1"')
    const unknown = await check('--require', 'perplexiti<=1')
    expect([unknown.code, unknown.stderr]).toEqual([
      2,
      expect.stringContaining('Did you mean perplexity?'),
    ])
    const alone = await check('--junit', at('report.xml'))
    expect([alone.code, alone.stderr]).toEqual([2, expect.stringContaining('add --require')])
  })
  it('is shown by graft inspect and found by graft adapters', async () => {
    const shown = JSON.parse((await graft(['inspect', at('expert'), '--json'])).stdout) as Record<
      string,
      unknown
    >
    expect(shown).toMatchObject({
      type: 'adapter',
      kind: 'lora',
      base: 'stories260k',
      parameters: 92_480,
      sizeBytes: 369_920,
    })
    const { saved } = JSON.parse((await graft(['adapters', scratch.path, '--json'])).stdout) as {
      saved: { path: string; kind: string }[]
    }
    expect(saved).toContainEqual(
      expect.objectContaining({ path: at('expert'), kind: 'lora', parameters: 92_480 }),
    )
  })
  it('keeps its answers when converted to half the size', async () => {
    const { code, stderr } = await graft([
      'convert',
      at('expert'),
      at('expert-f16'),
      '--dtype',
      'f16',
    ])
    expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
    expect(await ask('--adapter', at('expert-f16'))).toBe('Lily saw a ball.')
    const again = await graft(['convert', at('expert'), at('expert-f16')])
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('exists already')])
  })
  it('talks by graft chat, and makes room for the base in the middle of a talk', async () => {
    const input = `Lily, ball.\n/base\nLily, ball.\n/adapter ${at('nowhere')}\n/bse\n/quit\n`
    const args = [
      'chat',
      '--adapter',
      at('expert'),
      '--stop',
      'The end.',
      '--max-tokens',
      '20',
      '--json',
    ]
    const { code, stdout, stderr } = await graft(args, { input })
    expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
    expect(stderr).toContain('there is no such directory')
    expect(stderr).toContain('There is no command "/bse". There are:\n/base  /adapter')
    const { messages } = JSON.parse(stdout) as { messages: { role: string; content: string }[] }
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant'])
    expect(messages[1]!.content.trim()).toBe('Lily saw a ball.')
    expect(messages[3]!.content.trim()).not.toBe('Lily saw a ball.')
  })
})

describe('every kind of adapter that graft adapters lists', () => {
  it('can be trained and asked', async () => {
    const { kinds } = JSON.parse((await graft(['adapters', '--json', at('none')])).stdout) as {
      kinds: { name: string }[]
    }
    expect(kinds.map(({ name }) => name)).toContain('lora')
    for (const { name } of kinds.filter((kind) => kind.name !== 'dora')) {
      const trained = await graft([
        'train',
        ...common,
        '--out',
        at(`kind-${name}`),
        '--kind',
        name,
        '--steps',
        '2',
        ...(name === 'trainable-tokens' ? ['--train-tokens', '259,260'] : []),
      ])
      expect([name, trained.code, trained.code === 0 ? '' : trained.stderr]).toEqual([name, 0, ''])
      const asked = await graft([
        'run',
        'Tom',
        '--adapter',
        at(`kind-${name}`),
        '--max-tokens',
        '4',
        '--json',
      ])
      expect([name, asked.code, asked.code === 0 ? '' : asked.stderr]).toEqual([name, 0, ''])
    }
  })
})

describe('graft quickstart on the embedded model', () => {
  it('teaches, judges, swaps, saves, and ends with figures', async () => {
    const { code, stdout, stderr } = await graft(
      ['quickstart', '--model', 'stories260k', '--json'],
      { cwd: scratch.path },
    )
    expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
    const result = JSON.parse(stdout) as Record<string, Record<string, unknown>>
    expect(result).toMatchObject({
      model: 'stories260k',
      task: 'stories',
      testRows: 100,
      base: { 'exact match': 0 },
      swap: { same: true },
    })
    expect(result['expert']!['exact match']).toBeGreaterThanOrEqual(90)
    expect(result['swap']!['swaps']).toBeGreaterThan(5)
    expect((result['stages'] as unknown as { name: string }[]).map(({ name }) => name)).toEqual([
      'load',
      'judge base',
      'train',
      'judge expert',
      'swap',
    ])
    expect(existsSync(at('.graft', 'quickstart', 'adapter_model.safetensors'))).toBe(true)
    expect(stderr).toContain('exact match')
  })
  it('is what is left where no other model can be had, and reports it', async () => {
    const environment = { GRAFT_CACHE: at('empty-cache'), GRAFT_OFFLINE: '1' }
    const args = ['quickstart', '--rows', '16', '--test-rows', '2', '--out', at('fallback')]
    const { code, stdout, stderr } = await graft(args, { environment, cwd: scratch.path })
    expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
    expect(stderr).toContain('Continuing with the embedded model stories260k')
    expect(stderr).toContain('could not be loaded')
    expect(stdout).toContain('three words in, a story')
  })
})

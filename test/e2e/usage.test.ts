// What every command promises: help with examples, exit codes, one JSON value on stdout, errors
// without a stack.
import { describe, expect, it } from 'vitest'
import { commands } from '../../src/cli/command-table.ts'
import { loadOptions } from '../../src/cli/command.ts'
import { graft } from '../support/cli.ts'

describe('help', () => {
  it('lists every command, with exit code 0, whichever way it is asked for', async () => {
    for (const args of [[], ['--help'], ['help']]) {
      const { code, stdout, stderr } = await graft(args)
      expect([code, stderr]).toEqual([0, ''])
      for (const [name, { summary }] of commands)
        expect(stdout).toMatch(
          new RegExp(`^ +${name} +${summary.slice(0, 20).replace(/[()]/g, '.')}`, 'm'),
        )
    }
  })
  it('of a command shows every option and example', async () => {
    const { code, stdout } = await graft(['train', '--help'])
    expect(code).toBe(0)
    const train = commands.get('train')!
    for (const name of Object.keys(await loadOptions(train))) expect(stdout).toContain(`--${name}`)
    for (const { command } of train.examples) expect(stdout).toContain(command)
  })
  it('every command has a summary, examples that begin with it, and options that say what they do', async () => {
    for (const command of commands.values()) {
      const { name, summary, examples } = command
      expect([name, summary.length > 10]).toEqual([name, true])
      expect([name, examples.some(({ command: line }) => line.includes(`graft ${name}`))]).toEqual([
        name,
        true,
      ])
      for (const [option, { about }] of Object.entries(await loadOptions(command)))
        expect([name, option, (about ?? '').length > 8]).toEqual([name, option, true])
    }
  })
  it('prints the version', async () => {
    const { code, stdout } = await graft(['--version'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })
})

describe('wrong usage ends with 2', () => {
  it.each([
    [['trian'], 'there is no command "trian". Did you mean graft train?'],
    [['train', '--dta', 'x'], 'there is no option --dta. Did you mean --data?'],
    [['train', '--out', 'x'], '--data is missing.'],
    [['run'], 'an argument is missing: graft run <prompt>'],
    [['run', 'a', 'b'], 'graft run <prompt>. Put a prompt of several words in quotes.'],
    [['serve', '--model', 'a'], 'no option --model. Write the model without an option: [model].'],
    [['train', 'rows.jsonl'], 'rows.jsonl: got a file of rows, expected a training manifest.'],
    [['run', 'a', '--temperature', 'hot'], '--temperature: got "hot", expected a number ≥ 0'],
    [['run', 'a', '--seed', '1.5'], '--seed: got 1.5, expected an integer'],
    [['run', 'a', '--model', '--exact'], '--model needs a value'],
    [['run', 'a', '--exact=yes'], '--exact takes no value'],
    [
      ['train', '--data', 'x', '--out', 'y', '--schedule', 'cosin'],
      '"one-cycle". Did you mean "cosine"?',
    ],
    [
      ['train', '--data', 'x', '--out', 'y', '--validation', '2'],
      '--validation: got 2, expected a number above 0 and below 1',
    ],
    [['models', 'fetsh', 'x'], 'Did you mean "fetch"?'],
    [['bench', 'decod'], 'Did you mean "decode"?'],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await graft(args)
    expect(stderr).toContain(message)
    expect(stderr).not.toContain('    at ')
    expect([code, stdout]).toEqual([2, ''])
  })
})

describe('failures end with 1', () => {
  it('say what is wrong without a stack, and with GRAFT_DEBUG with one', async () => {
    const args = ['run', 'Hello', '--model', 'no-such-model']
    const plain = await graft(args)
    expect([plain.code, plain.stdout]).toEqual([1, ''])
    expect(plain.stderr).toContain(
      'There is no base model "no-such-model". The catalogue has stories260k',
    )
    expect(plain.stderr).not.toContain('    at ')
    const debug = await graft(args, { environment: { GRAFT_DEBUG: '1' } })
    expect(debug.stderr).toContain('    at ')
  })
  it('under --json are a JSON value too, also for wrong usage', async () => {
    const failed = await graft(['run', 'Hello', '--model', 'no-such-model', '--json'])
    expect(failed.code).toBe(1)
    expect(JSON.parse(failed.stdout)).toMatchObject({ error: { name: 'NotFoundError' } })
    const wrong = await graft(['run', '--json', '--tempature', '1'])
    expect(wrong.code).toBe(2)
    expect(JSON.parse(wrong.stdout)).toMatchObject({ error: { name: 'UsageError' } })
  })
})

describe('--json', () => {
  it.each([
    [['models'], 'array'],
    [['bench'], 'array'],
    [['run', 'Once upon a time', '--model', 'stories260k', '--max-tokens', '5'], 'object'],
    [['inspect', 'stories260k'], 'object'],
    [['adapters', 'examples'], 'object'],
  ])('%j gives one value on stdout', async (args, kind) => {
    const { code, stdout, stderr } = await graft([...args, '--json'])
    expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
    const value: unknown = JSON.parse(stdout)
    expect(Array.isArray(value) ? 'array' : typeof value).toBe(kind)
  })
  it('gives the text that is streamed without it', async () => {
    const args = ['run', 'Once upon a time', '--model', 'stories260k', '--max-tokens', '12']
    const [plain, json] = await Promise.all([graft(args), graft([...args, '--json'])])
    expect((JSON.parse(json.stdout) as { text: string }).text).toBe(plain.stdout.replace(/\n$/, ''))
    expect(plain.stdout.length).toBeGreaterThan(10)
  })
})

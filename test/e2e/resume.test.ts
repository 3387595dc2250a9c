// A run that is killed repeatedly, or stopped by Ctrl-C, ends with the same weights as an
// uninterrupted one.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { graft, jsonl, scratchFolder, storyRows, succeed } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const steps = 60
const command = (out: string): string[] => [
  ...[
    'train',
    '--model',
    'stories260k',
    '--data',
    at('rows.jsonl'),
    '--out',
    at(out),
    '--steps',
    String(steps),
    '--batch-rows',
    '2',
  ],
  ...[
    '--batch-tokens',
    '128',
    '--save-every',
    '1',
    '--validation',
    '0.2',
    '--validate-every',
    '10',
    '--dropout',
    '0.1',
    '--seed',
    '5',
  ],
  ...[
    '--optimizer',
    'adafactor',
    '--schedule',
    'cosine-restarts',
    '--schedule-options',
    'cycles=4',
    '--patience',
    '3',
    '--min-delta',
    '0.02',
  ],
]
const weights = (out: string): string =>
  readFileSync(at(out, 'adapter_model.safetensors')).toString('base64')
const history = (out: string): string => readFileSync(at(out, 'history.jsonl'), 'utf8')
const hasCheckpoint = (out: string): boolean =>
  ['a', 'b'].some((turn) => existsSync(at(out, 'checkpoints', `checkpoint-${turn}.safetensors`)))

beforeAll(async () => {
  writeFileSync(at('rows.jsonl'), jsonl(storyRows))
  await succeed(command('whole'))
})
afterAll(() => scratch.remove())

describe('a killed run', () => {
  it('ends bit-identical after any number of SIGKILLs and resumes', async () => {
    let kills = 0
    // A little later each time, so that the kill falls on start-up, on steps and on writing.
    for (let delayMs = 250; ; delayMs += 350) {
      const args = [
        ...command('killed'),
        ...(existsSync(at('killed', 'expert.json')) ? ['--resume'] : []),
      ]
      let timer: NodeJS.Timeout | undefined
      const { code, signal, stderr } = await graft(args, {
        onStart: (child) => (timer = setTimeout(() => child.kill('SIGKILL'), delayMs)),
      })
      clearTimeout(timer)
      if (code !== null && code !== 0) throw new Error(stderr)
      if (signal === null) break
      kills++
      // The configuration is written last: where there is one, the weights are whole.
      expect(
        existsSync(at('killed', 'adapter_config.json')) &&
          !existsSync(at('killed', 'adapter_model.safetensors')),
      ).toBe(false)
    }
    expect(kills).toBeGreaterThan(1)
    expect(weights('killed')).toBe(weights('whole'))
    expect(history('killed')).toBe(history('whole'))
  })
})

describe('Ctrl-C', () => {
  it('stops at the next step with a checkpoint, reports how to go on, and the rest gives the same weights', async () => {
    let waiting: NodeJS.Timeout | undefined
    const stopped = await graft(command('stopped'), {
      onStart: (child) => {
        waiting = setInterval(() => {
          if (!hasCheckpoint('stopped')) return
          clearInterval(waiting)
          child.kill('SIGINT')
        }, 5)
      },
    })
    clearInterval(waiting)
    expect(stopped.code).toBe(1) // the expert is not there: what follows in a script must not go on
    expect(stopped.stdout).toContain('with --resume')
    expect(existsSync(at('stopped', 'adapter_config.json'))).toBe(false)
    const rest = await graft([...command('stopped'), '--resume'])
    expect([rest.code, rest.code === 0 ? '' : rest.stderr]).toEqual([0, ''])
    expect(rest.stdout).toMatch(/continuing after step \d+/)
    expect(weights('stopped')).toBe(weights('whole'))
  })
})

describe('--resume', () => {
  it('refuses other options than the run had, naming them', async () => {
    const { code, stderr } = await graft([
      ...command('whole'),
      '--resume',
      '--learning-rate',
      '0.5',
    ])
    expect(code).toBe(1)
    expect(stderr).toContain('learningRate: got 0.5')
  })
  it('refuses a folder in which no run was begun', async () => {
    const { code, stderr } = await graft([...command('nowhere'), '--resume'])
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining('there is no earlier run to resume'),
    ])
    expect(existsSync(at('nowhere'))).toBe(false)
  })
  it('of a run that has ended changes nothing', async () => {
    const before = weights('whole')
    const { code, stderr } = await graft([...command('whole'), '--resume'])
    expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
    expect(weights('whole')).toBe(before)
    expect(stderr).not.toContain('--date')
  })
  it('reports that another --date is not used, because the run keeps that of its checkpoint', async () => {
    const { code, stderr } = await graft([...command('whole'), '--resume', '--date', '2020-02-03'])
    expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
    expect(stderr).toMatch(
      /--date 2020-02-03 is not used: the run continues with the date of its checkpoint, 20\d\d-\d\d-\d\d/,
    )
  })
})

// The main job on the real model, as `npm start` runs it: what the expert reaches is what the
// README promises. Takes minutes and 98 MB once.
import { afterAll, describe, expect, it } from 'vitest'
import { scratchFolder, succeed } from '../support/cli.ts'
import { smollm2Q4 } from '../smollm2.ts'

const scratch = scratchFolder()
afterAll(() => scratch.remove())

interface Report {
  readonly model: string
  readonly base: Readonly<Record<string, number>>
  readonly expert: Readonly<Record<string, number>>
  readonly swap: { readonly same: boolean; readonly swaps: number }
  readonly stages: readonly { readonly name: string; readonly seconds: number }[]
  readonly seconds: number
}

async function quickstart(...args: string[]): Promise<Report> {
  const command = ['quickstart', '--model', 'smollm2-135m-instruct:q4_1', '--json', ...args]
  const { stdout } = await succeed(command, { cwd: scratch.path })
  return JSON.parse(stdout) as Report
}

describe('graft quickstart on SmolLM2-135M-Instruct', () => {
  it('teaches JSON in a few steps', { timeout: 1_200_000 }, async ({ skip }) => {
    const model = await smollm2Q4()
    if ('reason' in model) skip(`the model cannot be had: ${model.reason}`)
    const { base, expert, swap } = await quickstart(
      '--rows',
      '320',
      '--test-rows',
      '20',
      '--out',
      'short',
    )
    expect(base).toMatchObject({ 'valid JSON': 0, 'exact match': 0 })
    expect(expert['valid JSON']).toBeGreaterThanOrEqual(18)
    expect(expert['intent']).toBeGreaterThanOrEqual(14)
    expect(swap).toMatchObject({ same: true })
    expect(swap.swaps).toBeGreaterThan(10)
  })
  it('reaches what PEFT reaches in one epoch', { timeout: 3_000_000 }, async ({ skip }) => {
    const model = await smollm2Q4()
    if ('reason' in model) skip(`the model cannot be had: ${model.reason}`)
    const { base, expert, stages, seconds } = await quickstart('--out', 'whole')
    console.log(JSON.stringify({ base, expert, stages, seconds }))
    expect(base).toEqual({ 'valid JSON': 0, intent: 0, 'exact match': 0, 'slot F1': 0 })
    expect(expert['exact match']).toBeGreaterThanOrEqual(45)
    expect(expert['intent']).toBeGreaterThanOrEqual(92)
    expect(expert['valid JSON']).toBeGreaterThanOrEqual(97)
  })
})

// The plan of a run compared with the run's actual cost, on SmolLM2-135M's shape: each in a
// separate process, whose peak resident memory is measured.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import type { TrainPlan } from '../src/train/estimate/estimate.ts'

const script = fileURLToPath(new URL('support/peak-of-training.ts', import.meta.url))

async function inProcess<Result>(task: 'plan' | 'train', settings: object): Promise<Result> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--disable-warning=ExperimentalWarning',
    script,
    task,
    JSON.stringify(settings),
  ])
  return JSON.parse(stdout) as Result
}

const measured = new Map<string, number>()

describe('the planned peak', () => {
  for (const [name, settings] of Object.entries({
    'four lines of 128': {},
    'two lines of 256': { batch: { rows: 2, tokens: 256 } },
    checkpointing: { checkpointing: true },
    nf4: { quantization: 'nf4' },
  })) {
    it(`is within 15 % of the measured one: ${name}`, { timeout: 300_000 }, async () => {
      const { memory } = await inProcess<TrainPlan>('plan', settings)
      const { peakBytes } = await inProcess<{ peakBytes: number }>('train', settings)
      measured.set(name, peakBytes)
      expect(
        Math.abs(memory.totalBytes / peakBytes - 1),
        `${memory.totalBytes} planned, ${peakBytes} measured`,
      ).toBeLessThan(0.15)
    })
  }
  it('is small: 1.6 GB plain, 350 MB less with checkpointing', () => {
    expect(measured.get('four lines of 128')).toBeLessThan(1.6e9)
    expect(measured.get('four lines of 128')! - measured.get('checkpointing')!).toBeGreaterThan(
      0.3e9,
    )
  })
})

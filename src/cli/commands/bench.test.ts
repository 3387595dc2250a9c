// The command over benchmarks, as graft and as npm run it.
import { describe, expect, it } from 'vitest'
import type { Benchmark } from '../bench/benchmark.ts'
import { runCli } from '../core/cli.ts'
import { createBenchCommand } from './bench.ts'

const probe: Benchmark = {
  name: 'probe',
  summary: 'for tests',
  needs: '',
  async *run() {},
}

async function runBench(args: readonly string[], invocation?: string) {
  let text = ''
  const stream = { write: (part: string) => void (text += part) }
  const command = createBenchCommand(async () => new Map([['probe', probe]]), invocation)
  const code = await runCli(
    ['bench', ...args],
    {
      stdout: stream,
      stderr: stream,
      environment: {},
      signal: new AbortController().signal,
      version: '0',
      graft: 'graft',
      now: () => 0,
    },
    new Map([['bench', command]]),
  )
  return { code, text }
}

describe('the command over benchmarks', () => {
  it.each([[['--help']], [['porbe']], [['probe', 'probe']], [['--jsn']]])(
    'names itself as it is typed: %j',
    async (args) => {
      expect((await runBench(args)).text).toContain('graft bench')
      const { text } = await runBench(args, 'npm run bench --')
      expect(text).toContain('npm run bench --')
      expect(text).not.toContain('graft bench')
    },
  )
  it('answers a misspelt name with the one that was probably meant', async () => {
    const { code, text } = await runBench(['porbe'])
    expect([code, text]).toEqual([2, expect.stringContaining('Did you mean "probe"?')])
  })
})

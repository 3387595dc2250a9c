// A run over two joint kinds that is killed repeatedly ends with the same weights as an
// uninterrupted one.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { graft, jsonl, scratchFolder, storyRows, succeed } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
afterAll(() => scratch.remove())

const command = (out: string): string[] => [
  ...['train', '--model', 'stories260k', '--kind', 'ia3,prompt-tuning', '--virtual-tokens', '4'],
  ...['--data', at('rows.jsonl'), '--out', at(out), '--steps', '40', '--save-every', '1'],
  ...['--batch-rows', '2', '--batch-tokens', '128', '--validation', '0.2', '--seed', '5'],
]
const weights = (out: string): string[] =>
  ['ia3', 'prompt-tuning'].map((part) =>
    readFileSync(at(out, part, 'adapter_model.safetensors')).toString('base64'),
  )

it('a run over two kinds ends bit-identical after any number of SIGKILLs and resumes', async () => {
  writeFileSync(at('rows.jsonl'), jsonl(storyRows))
  await succeed(command('whole'))
  let kills = 0
  for (let delayMs = 400; ; delayMs += 600) {
    const begun = existsSync(at('killed', 'expert.json'))
    let timer: NodeJS.Timeout | undefined
    const { code, signal, stderr } = await graft(
      [...command('killed'), ...(begun ? ['--resume'] : [])],
      { onStart: (child) => (timer = setTimeout(() => child.kill('SIGKILL'), delayMs)) },
    )
    clearTimeout(timer)
    if (code !== null && code !== 0) throw new Error(stderr)
    if (signal === null) break
    kills++
    // The configuration is written last: where there is one, both parts are whole.
    expect(
      existsSync(at('killed', 'adapter_config.json')) &&
        !existsSync(at('killed', 'prompt-tuning', 'adapter_config.json')),
    ).toBe(false)
  }
  expect(kills).toBeGreaterThan(1)
  expect(weights('killed')).toEqual(weights('whole'))
}, 600_000)

// Each kind of bad input ends in one clear error that names the file, the tensor or the row, and
// leaves nothing half-written.
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAdapter } from '../../src/index.ts'
import { saveAdapter as saveToSink } from '../../src/adapters/index.ts'
import { loadModel, saveAdapter } from '../../src/node/index.ts'
import { createFileSink } from '../../src/node/files/file-sink.ts'
import { graft, jsonl, scratchFolder, storyRows } from '../support/cli.ts'
import { root } from '../support/sources.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const embedded = join(root, 'src', 'catalogue', 'models', 'stories260k')

/** A copy of the embedded model with one file changed. */
function brokenModel(
  name: string,
  file: string,
  change: (bytes: Buffer) => string | Uint8Array,
): string {
  cpSync(embedded, at(name), { recursive: true })
  writeFileSync(at(name, file), change(readFileSync(at(name, file))))
  return at(name)
}

/** Runs a command that must fail: exit code 1, one message without a stack. */
async function failure(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await graft(args)
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).not.toMatch(/^ {4}at /m)
  expect(stderr).not.toContain('this is a bug')
  return stderr
}

const train = (data: string, ...more: string[]): string[] => [
  'train',
  '--model',
  'stories260k',
  '--data',
  data,
  '--out',
  at('out'),
  '--json',
  ...more,
]

/** As `failure`, of a training run that may have said on stdout, under --json, only the error. */
async function trainingFailure(data: string, ...more: string[]): Promise<string> {
  const { code, stdout, stderr } = await graft(train(data, ...more))
  expect(code).toBe(1)
  expect(JSON.parse(stdout)).toHaveProperty('error.message')
  expect(stderr).not.toMatch(/^ {4}at /m)
  return stderr
}

function rowsFile(name: string, text: string): string {
  writeFileSync(at(name), text)
  return at(name)
}

beforeAll(async () => {
  const model = await loadModel('stories260k')
  const adapter = await createAdapter('lora', { rank: 2, targets: ['q_proj'] }, model)
  await saveAdapter(adapter, at('adapter'))
  const [key, tensor] = [...adapter.tensors][0]!
  const data = Float32Array.from(tensor.data as Float32Array)
  data[0] = NaN
  await saveToSink(
    { ...adapter, tensors: new Map([...adapter.tensors, [key, { ...tensor, data }]]) },
    createFileSink(at('nan-adapter')),
  )
  const other = [...adapter.tensors].map(([name, { dtype, shape }]) => {
    const wider = shape.map((dim) => (dim === 64 ? 96 : dim))
    return [name, { dtype, shape: wider, data: new Float32Array(wider[0]! * wider[1]!) }] as const
  })
  await saveAdapter(
    { ...adapter, baseModel: 'other/base', tensors: new Map(other) },
    at('other-adapter'),
  )
  await model.dispose()
})
afterAll(() => scratch.remove())

describe('a model', () => {
  it('whose file is cut off names the file', async () => {
    const folder = brokenModel('cut', 'model.safetensors', (bytes) =>
      bytes.subarray(0, bytes.length - 1000),
    )
    expect(await failure('run', 'x', '--model', folder)).toContain(
      join(folder, 'model.safetensors'),
    )
  })
  it('whose header claims two gigabytes is refused at once', async () => {
    const folder = brokenModel('huge', 'model.safetensors', (bytes) => {
      const changed = Buffer.from(bytes)
      changed.writeBigUInt64LE(2n ** 31n)
      return changed
    })
    expect(await failure('run', 'x', '--model', folder)).toContain('model.safetensors')
  })
  it('that is a cut off GGUF file names the file', async () => {
    const file = rowsFile('cut.gguf', 'GGUF\u0003\u0000\u0000\u0000')
    expect(await failure('inspect', file)).toContain(file)
  })
  it('of an unknown architecture lists those that are known', async () => {
    const folder = brokenModel('mamba', 'config.json', (bytes) =>
      bytes.toString().replace('"llama"', '"mamba"'),
    )
    expect(await failure('run', 'x', '--model', folder)).toMatch(/mamba[^]*llama/)
  })
  it('whose weights do not fit its config lists every tensor', async () => {
    const folder = brokenModel('wrong', 'config.json', (bytes) =>
      bytes.toString().replace(/"intermediate_size": *\d+/, '"intermediate_size": 170'),
    )
    const message = await failure('run', 'x', '--model', folder)
    expect(message).toContain('15 mismatches')
    expect(message).toContain('mlp.gate_proj.weight: got [172, 64], expected [170, 64]')
  })
  it('with NaN in its weights is refused for training, with the tensor named', async () => {
    const folder = brokenModel('nan', 'model.safetensors', (bytes) => {
      const changed = Buffer.from(bytes)
      changed.writeFloatLE(NaN, changed.length - 4)
      return changed
    })
    const message = await trainingFailure(
      rowsFile('good.jsonl', jsonl(storyRows)),
      '--model',
      folder,
    )
    expect(message).toMatch(/Tensor "model\.\S+": value \d+ of \d+ is NaN/)
    expect(existsSync(at('out'))).toBe(false)
  })
})

describe('an adapter', () => {
  it('for another base lists what does not fit, and which base it is for', async () => {
    const message = await failure(
      'run',
      'x',
      '--model',
      'stories260k',
      '--adapter',
      at('other-adapter'),
    )
    expect(message).toContain('got [2, 96], expected [2, 64]')
    expect(message).toContain('other/base')
  })
  it('with NaN names the tensor', async () => {
    expect(
      await failure('run', 'x', '--model', 'stories260k', '--adapter', at('nan-adapter')),
    ).toContain('self_attn.q_proj.lora_A.weight')
  })
  it('with a setting that is not supported names the key', async () => {
    cpSync(at('adapter'), at('odd'), { recursive: true })
    const path = at('odd', 'adapter_config.json')
    writeFileSync(path, readFileSync(path, 'utf8').replace('{', '{"layer_replication": [[0, 2]],'))
    expect(await failure('run', 'x', '--model', 'stories260k', '--adapter', at('odd'))).toContain(
      'layer_replication',
    )
  })
  it('that is no folder, or an empty one, reports it', async () => {
    mkdirSync(at('empty'))
    expect(await failure('run', 'x', '--model', 'stories260k', '--adapter', at('empty'))).toContain(
      'adapter_config.json',
    )
    expect(
      await failure('run', 'x', '--model', 'stories260k', '--adapter', at('missing')),
    ).toContain('there is no such directory')
  })
})

describe('training data', () => {
  const good = '{"prompt": "a", "completion": "b"}\n'
  it.each([
    [
      'that is not JSON names each row',
      `${good}{"prompt":\n${good}nonsense\n`,
      [/row 2: /, /row 4: /],
    ],
    [
      'whose rows differ names each row and its keys',
      `${good}{"question": "a"}\n`,
      [/row 2: its keys are question/],
    ],
    [
      'of no known format lists the formats',
      '{"question": "a"}\n',
      [/row 1 is of no known format/, /prompt-completion/],
    ],
    [
      'with an empty answer names the row',
      `${good}{"prompt": "a", "completion": ""}\n`,
      [/row 2: "completion" is empty/],
    ],
    ['without rows says so', '\n\n', [/contains no rows/]],
    [
      'with chats for a model without a template says what to do',
      '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n',
      [/no chat template/],
    ],
  ])('%s', async (_, text, expected) => {
    const file = rowsFile('bad.jsonl', text)
    const message = await trainingFailure(file)
    for (const pattern of [/bad\.jsonl/, ...expected]) expect(message).toMatch(pattern)
    expect(existsSync(at('out'))).toBe(false)
  })
  it('that is not UTF-8 says so', async () => {
    writeFileSync(at('latin1.jsonl'), Buffer.from('{"text": "caf\xe9"}\n', 'latin1'))
    expect(await trainingFailure(at('latin1.jsonl'))).toContain('latin1.jsonl: is not UTF-8')
  })
  it('longer than asked for is cut, with a count', async () => {
    const file = rowsFile(
      'long.jsonl',
      jsonl([...storyRows, { prompt: 'a', completion: 'word '.repeat(400) }]),
    )
    const { code, stderr } = await graft([
      ...train(file, '--steps', '1', '--max-tokens', '64', '--overwrite'),
    ])
    expect([code, code === 0 ? '' : stderr]).toEqual([0, ''])
    expect(stderr).toContain('1 row cut')
  })
})

describe('an adapter whose base is not on this machine', () => {
  it('is refused with its name and what to do', async () => {
    const adapter = await createAdapter('lora', {}, await loadModel('stories260k'), {
      baseModel: '/workspace-of-somebody/models/my-model',
    })
    await saveAdapter(adapter, at('foreign'))
    expect(await failure('run', 'Lily', '--adapter', at('foreign'))).toContain(
      `${at('foreign')}: its adapter_config.json names the base "/workspace-of-somebody/models/my-model", which is not on this machine. Name another with --model.`,
    )
  })
})

describe('limits', () => {
  it('a prompt longer than the context is refused with both numbers', async () => {
    expect(await failure('run', 'word '.repeat(600), '--model', 'stories260k')).toMatch(
      /\d{3,} tokens[^]*512/,
    )
  })
  it('lines longer than the context are refused', async () => {
    const message = await trainingFailure(
      rowsFile('good.jsonl', jsonl(storyRows)),
      '--batch-tokens',
      '4096',
      '--max-tokens',
      '4096',
      '--overwrite',
    )
    expect(message).toContain('512')
  })
  it('a loss that turns NaN stops training and leaves no adapter', async () => {
    const file = rowsFile('good.jsonl', jsonl(storyRows))
    const message = await trainingFailure(
      file,
      '--learning-rate',
      '1e30',
      '--clip',
      '0',
      '--schedule',
      'constant',
      '--warmup',
      '0',
      '--epochs',
      '3',
      '--overwrite',
    )
    expect(message).toMatch(/Training stopped at step \d+/)
    expect(existsSync(at('out', 'adapter_config.json'))).toBe(false)
  })
})

describe('a folder that cannot be written to', () => {
  it('is found out before anything is trained, and nothing is left in it', async ({ skip }) => {
    if (process.getuid?.() === 0) skip('the superuser may write anywhere')
    mkdirSync(at('locked'))
    chmodSync(at('locked'), 0o555)
    const message = await trainingFailure(
      rowsFile('good.jsonl', jsonl(storyRows)),
      '--out',
      at('locked'),
    )
    expect(message).toContain(at('locked', 'expert.json'))
    expect(readdirSync(at('locked'))).toEqual([])
  })
  it('is named where not even the superuser may write', async ({ skip }) => {
    if (process.platform !== 'linux') skip('only Linux has /proc')
    const message = await trainingFailure(
      rowsFile('good.jsonl', jsonl(storyRows)),
      '--out',
      '/proc/graft-expert',
    )
    expect(message).toContain('/proc/graft-expert/expert.json: cannot be written')
  })
  it('is named where it is a file', async () => {
    const message = await trainingFailure(
      rowsFile('good.jsonl', jsonl(storyRows)),
      '--out',
      rowsFile('taken', 'not a folder'),
    )
    expect(message).toContain(at('taken'))
    expect(readFileSync(at('taken'), 'utf8')).toBe('not a folder')
  })
})

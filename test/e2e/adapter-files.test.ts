// Adapters in every format, inspected and converted on the command line.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { graft, scratchFolder, succeed } from '../support/cli.ts'
import { root } from '../support/sources.ts'

const scratch = scratchFolder()
const at = (name: string): string => join(scratch.path, name)
const parity = (name: string): string => join(root, 'test', 'parity', name)
afterAll(() => scratch.remove())

type Inspected = Readonly<Record<string, unknown>> & {
  readonly changes: readonly {
    readonly module: string
    readonly layer: number | null
    readonly norm: number
    readonly whole: boolean
  }[]
}
const json = async <Value>(...args: string[]): Promise<Value> =>
  JSON.parse((await succeed([...args, '--json'], { cwd: scratch.path })).stdout) as Value
const inspect = (...args: string[]): Promise<Inspected> => json('inspect', ...args)
const norms = ({ changes }: Inspected): Record<string, number> =>
  Object.fromEntries(changes.map(({ module, norm }) => [module, norm]))

const lora = parity('lora_qv_r8')

describe('graft convert', () => {
  it('writes int8 and int4 with what they cost, and f32 again', async () => {
    const before = await inspect(lora)
    const sizes: number[] = []
    for (const [dtype, limit] of [
      ['int8', 0.01],
      ['int4', 0.15],
    ] as const) {
      const { stdout } = await succeed([
        'convert',
        lora,
        at(dtype),
        '--dtype',
        dtype,
        '--model',
        'stories260k',
        '--prompts',
        '5',
      ])
      expect(stdout).toMatch(new RegExp(`20 tensors in ${dtype}`))
      expect(stdout).toMatch(
        /error of ΔW[^]*self_attn\.q_proj[^]*over 5 prompts the logits moved by/,
      )
      expect(stdout).toContain(`PEFT cannot read ${dtype}`)
      expect(readdirSync(at(dtype)).sort()).toEqual([
        'adapter_config.json',
        `adapter_model.${dtype}.safetensors`,
        'expert.json',
      ])
      const again = await json<{ error: number; tensorError: number }>(
        'convert',
        at(dtype),
        at(`${dtype}-f32`),
      )
      expect(again).toMatchObject({ type: 'adapter', error: 0, tensorError: 0 })
      const small = await inspect(at(dtype))
      const plain = await inspect(at(`${dtype}-f32`))
      expect(small['types']).toHaveProperty(dtype)
      expect(plain).toMatchObject({ sha256: small['sha256'], changes: small.changes })
      expect(small['sha256']).not.toBe(before['sha256'])
      for (const [module, norm] of Object.entries(norms(before)))
        expect(Math.abs(norms(small)[module]! / norm - 1)).toBeLessThan(limit)
      sizes.push(statSync(join(at(dtype), `adapter_model.${dtype}.safetensors`)).size)
    }
    expect(sizes[1]).toBeLessThan(sizes[0]!)
  }, 60_000)

  it('takes a LoRA into a GGUF file and back, the same to the last digit', async () => {
    await succeed(['convert', lora, at('lora.gguf'), '--model', 'stories260k', '--prompts', '0'])
    await succeed([
      'convert',
      at('lora.gguf'),
      at('back'),
      '--model',
      'stories260k',
      '--prompts',
      '0',
    ])
    const before = await inspect(lora)
    const file = await inspect(at('lora.gguf'))
    const back = await inspect(at('back'))
    expect(file).toMatchObject({
      type: 'adapter',
      format: 'gguf',
      kind: 'lora',
      parameters: before['parameters'],
    })
    expect(back['sha256']).toBe(before['sha256'])
    expect(await inspect(at('lora.gguf'), '--model', 'stories260k')).toMatchObject({
      sha256: before['sha256'],
    })
    for (const [module, norm] of Object.entries(norms(before)))
      expect(norms(file)[module]! / norm).toBeCloseTo(1, 5)
  }, 60_000)

  it('refuses what cannot be written, and leaves nothing behind', async () => {
    const fails = async (...args: string[]): Promise<string> => {
      const { code, stderr } = await graft(args, { cwd: scratch.path })
      expect(code).toBe(1)
      return stderr
    }
    expect(await fails('convert', lora, at('x.gguf'))).toContain('name it with --model')
    expect(
      await fails('convert', lora, at('x.gguf'), '--model', 'stories260k', '--dtype', 'int4'),
    ).toContain('f32, f16 or bf16')
    expect(await fails('convert', 'stories260k', at('x'), '--dtype', 'int4')).toContain(
      '8 and 4 bits are for adapters',
    )
    expect(
      await fails('convert', parity('dora_r6'), at('x.gguf'), '--model', 'stories260k'),
    ).toContain('more than two matrices')
    expect(await fails('convert', lora, at('.'))).toContain('exists already')
    expect([existsSync(at('x.gguf')), existsSync(at('x'))]).toEqual([false, false])
  }, 60_000)
})

describe('graft inspect', () => {
  beforeAll(() => {
    mkdirSync(at('torn'), { recursive: true })
    copyFileSync(join(lora, 'adapter_config.json'), join(at('torn'), 'adapter_config.json'))
    writeFileSync(
      join(at('torn'), 'adapter_model.safetensors'),
      readFileSync(join(lora, 'adapter_model.safetensors')).subarray(0, 9000),
    )
  })

  it('shows ‖ΔW‖ by layer and module, of DoRA and IA3 as far as the base is known', async () => {
    const { stdout } = await succeed(['inspect', lora])
    expect(stdout).toMatch(
      /‖ΔW‖ by layer and module\n +q_proj +v_proj +all\n +layer 0 +\d+\.\d{4} +\d+\.\d{4} +\d+\.\d{4}\n/,
    )
    const dora = await inspect(parity('dora_r6'))
    expect(dora.changes.map(({ whole }) => whole)).toContain(false)
    const whole = await inspect(parity('dora_r6'), '--model', 'stories260k')
    expect(whole.changes.every((change) => change.whole)).toBe(true)
    expect((await inspect(parity('ia3'))).changes).toEqual([])
    expect((await inspect(parity('ia3'), '--model', 'stories260k')).changes).toHaveLength(15)
    expect((await succeed(['inspect', parity('ia3')])).stdout).toContain('name it with --model')
    expect(await inspect(parity('prompt_8'))).toMatchObject({
      kind: 'prompt-tuning',
      changes: [],
      norm: null,
    })
  }, 60_000)

  it('takes a file of the folder for the folder, and reports what is wrong with a torn one', async () => {
    expect(await inspect(join(lora, 'adapter_model.safetensors'))).toMatchObject({ kind: 'lora' })
    const { code, stderr } = await graft(['inspect', at('torn')])
    expect(code).toBe(1)
    expect(stderr).toContain('truncated or corrupt')
  }, 60_000)

  it('shows the norm of every weight of a model when asked', async () => {
    const { norms: plain } = await json<{ norms: null }>('inspect', 'stories260k')
    expect(plain).toBeNull()
    const { norms: found } = await json<{ norms: readonly { name: string; norm: number }[] }>(
      'inspect',
      'stories260k',
      '--norms',
    )
    expect(found).toHaveLength(47)
    expect(found.every(({ norm }) => norm > 0)).toBe(true)
    expect((await succeed(['inspect', 'stories260k', '--norms'])).stdout).toContain(
      '‖W‖ by layer and weight',
    )
  }, 60_000)
})

import { describe, expect, it } from 'vitest'
import { loadAdapter } from '../../adapters/files/peft.ts'
import { FormatError, MismatchError, NumericError, UnsupportedError } from '../../base/errors.ts'
import { createMemorySource } from '../../formats/memory-source.ts'
import { openSafetensors } from '../../formats/safetensors/reader.ts'
import type { MicroLoraJson } from './json.ts'
import { MicroLora } from '../micro-lora.ts'
import { computeStateChecksum } from './saved.ts'
import { randomVector, measureRelativeError, slowForward } from '../testing.ts'

const modules = {
  'layers.0.q_proj': { inFeatures: 12, outFeatures: 8 },
  'layers.0.v_proj': { inFeatures: 12, outFeatures: 5 },
}
const [q, v] = ['layers.0.q_proj', 'layers.0.v_proj'] as const
const x = randomVector(12, 1)

/** One with something in every place. */
function used(): MicroLora {
  const lora = new MicroLora({
    modules,
    rank: 3,
    optimizer: 'adam',
    ewc: true,
    bias: true,
    dropout: 0.2,
    seed: 5,
  })
  for (let i = 0; i < 6; i++) {
    lora.adapt(randomVector(12, i), {
      target: randomVector(8, i + 9),
      quality: 0.1 * i,
      sourceModule: q,
    })
    lora.adapt(randomVector(12, i), {
      gradient: randomVector(5, i + 9),
      verdict: 'good',
      sourceModule: v,
    })
    lora.applyUpdatesWithEwc(0.01)
    if (i === 2) lora.consolidate()
  }
  lora.adapt(x, { target: randomVector(8, 3), sourceModule: q })
  return lora
}

/** Learns on, with dropout's draws and pending gradients; gives the outputs. */
function after(lora: MicroLora): Float32Array {
  lora.adapt(x, { target: randomVector(8, 8), sourceModule: q })
  lora.applyUpdatesWithEwc(0.02)
  return lora.forward(x, undefined, q)
}

const text = JSON.stringify(used())
const changed = (change: (json: Record<string, never>) => unknown): string => {
  const json = JSON.parse(text)
  change(json)
  return JSON.stringify(json)
}
/** With a checksum that fits, so that what lies behind it is tested. */
const sealed = (change: (json: Record<string, never>) => unknown): string =>
  changed((json) => {
    change(json)
    const { state, tensors } = json as unknown as MicroLoraJson
    const numbers = Object.entries(tensors).map(
      ([name, base64]) =>
        [
          name,
          new Float32Array(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer),
        ] as const,
    )
    Object.assign(json, { checksum: computeStateChecksum(state, new Map(numbers)) })
  })

describe('saved and read again', () => {
  it('continues as if nothing had happened: JSON', () => {
    const lora = used()
    const again = MicroLora.fromJSON(JSON.stringify(lora))
    expect(JSON.stringify(again)).toBe(JSON.stringify(lora))
    expect(again.statistics()).toEqual(lora.statistics())
    expect(after(again)).toEqual(after(lora))
    expect(MicroLora.fromJSON(lora.toJSON(), { kernels: 'plain' }).kernels).toBe('plain')
  })
  it('continues as if nothing had happened: safetensors', async () => {
    const lora = used()
    const again = await MicroLora.fromSafetensors(lora.toSafetensors())
    expect(JSON.stringify(again)).toBe(JSON.stringify(lora))
    expect(after(again)).toEqual(after(lora))
  })
  it('goes back in place', () => {
    const lora = used()
    const saved = lora.toJSON()
    const y = after(lora)
    lora.restore(saved)
    expect(JSON.stringify(lora)).toBe(JSON.stringify(saved))
    expect(after(lora)).toEqual(y)
  })
  it('modules may have any name', () => {
    const names = ['__proto__', '10', '2', 'a b', 'constructor']
    const lora = new MicroLora({
      modules: Object.fromEntries(names.map((name) => [name, { inFeatures: 2, outFeatures: 2 }])),
    })
    const again = MicroLora.fromJSON(JSON.stringify(lora))
    for (const name of Object.keys(lora.config.modules))
      expect(again.module(name).read('weights')).toEqual(lora.module(name).read('weights'))
  })
})

describe('for others', () => {
  it('is a PEFT adapter that computes the same', async () => {
    const lora = used()
    const files = lora.toPeft({ baseModel: 'some/base' })
    const config = JSON.parse(new TextDecoder().decode(files['adapter_config.json']))
    expect(config).toMatchObject({
      peft_type: 'LORA',
      r: 3,
      lora_alpha: 6,
      lora_bias: true,
      target_modules: [q, v],
      base_model_name_or_path: 'some/base',
    })
    const folder = {
      name: 'made',
      open: async (path: string) =>
        path in files ? createMemorySource(path, files[path as keyof typeof files]) : undefined,
    }
    expect((await loadAdapter(folder)).tensors.size).toBe(6)
    const store = await openSafetensors(
      createMemorySource('adapter_model.safetensors', files['adapter_model.safetensors']),
    )
    const read = async (name: string) => store.read(`base_model.model.${q}.${name}`)
    const a = await read('lora_A.weight')
    const b = await read('lora_B.weight')
    const bias = await read('lora_B.bias')
    expect([a.shape, b.shape, bias.shape]).toEqual([[3, 12], [8, 3], [8]])
    const number = (values: ArrayLike<number | bigint>, at: number): number => Number(values[at])
    const low = Array.from({ length: 3 }, (_, r) =>
      x.reduce((sum, value, i) => sum + value * number(a.data, r * 12 + i), 0),
    )
    const y = Array.from(
      { length: 8 },
      (_, o) =>
        2 *
        (low.reduce((sum, value, r) => sum + value * number(b.data, o * 3 + r), 0) +
          number(bias.data, o)),
    )
    expect(measureRelativeError(lora.forward(x, undefined, q), y)).toBeLessThan(1e-5)
    expect(
      measureRelativeError(y, slowForward(lora.module(q), lora.module(q).read('weights'), x)),
    ).toBeLessThan(1e-5)
  })
})

describe('refused, with the reason, and nothing changed', () => {
  const cases: [string, string, new (...args: never[]) => Error, string][] = [
    ['torn', text.slice(0, text.length / 2), FormatError, 'cannot be parsed; it is incomplete'],
    ['empty', '', FormatError, 'cannot be parsed'],
    ['something else', '[1, 2]', FormatError, 'is not a saved MicroLoRA'],
    ['a number', '5', FormatError, 'expected an object'],
    [
      'a count changed',
      changed((json) => Object.assign(json['state']!, { adaptations: 1000 })),
      FormatError,
      'the checksum is wrong',
    ],
    [
      'a weight changed',
      changed((json) =>
        Object.assign(json['tensors']!, { [`${q}.weights`]: btoa('\0'.repeat(4 * 68)) }),
      ),
      FormatError,
      'the checksum is wrong',
    ],
    [
      'a tensor lost',
      changed((json) => delete json['tensors']![`${q}.weights`]),
      FormatError,
      'the checksum is wrong',
    ],
    [
      'no base64',
      changed((json) => Object.assign(json['tensors']!, { [`${q}.weights`]: '%%%' })),
      FormatError,
      'is not base64',
    ],
    [
      'half a number',
      changed((json) => Object.assign(json['tensors']!, { [`${q}.weights`]: btoa('abc') })),
      FormatError,
      'is not base64 of 32-bit',
    ],
    [
      'a newer version',
      changed((json) => Object.assign(json, { version: 2 })),
      UnsupportedError,
      'written by a newer version (format 2; this one reads up to 1)',
    ],
    [
      'rank 0',
      sealed((json) => Object.assign(json['state']!['config'], { rank: 0 })),
      FormatError,
      'rank: got 0',
    ],
    [
      'another size',
      sealed((json) =>
        Object.assign(json['state']!['config']['modules'][q], { inFeatures: 2 ** 24 }),
      ),
      MismatchError,
      `${q}.weights: got 68 values, expected 50331680`,
    ],
    [
      'a tensor too many',
      sealed((json) => Object.assign(json['tensors']!, { 'x.weights': '' })),
      MismatchError,
      'x.weights: got a tensor, expected none',
    ],
    [
      'NaN among the numbers',
      sealed((json) =>
        Object.assign(json['tensors']!, { [`${q}.weights`]: btoa('\xff'.repeat(4 * 68)) }),
      ),
      NumericError,
      'contains NaN',
    ],
    [
      'a negative count',
      sealed((json) => Object.assign(json['state']!, { forwards: -1 })),
      FormatError,
      'forwards: got -1',
    ],
    [
      'no generator',
      sealed((json) => Object.assign(json['state']!['modules'][q], { noise: [1] })),
      FormatError,
      'noise: expected four',
    ],
    [
      'a mean that is text',
      sealed((json) => Object.assign(json['state']!['quality'], { mean: 'x' })),
      FormatError,
      'quality.mean',
    ],
  ]
  it.each(cases)('%s', (_, json, kind, message) => {
    const lora = used()
    const before = JSON.stringify(lora)
    for (const read of [() => MicroLora.fromJSON(json), () => lora.restore(json)]) {
      expect(read).toThrow(kind)
      expect(read).toThrow(message)
    }
    expect(JSON.stringify(lora)).toBe(before)
  })
  it('a state of other dimensions or settings, all named at once', () => {
    const lora = new MicroLora({ inFeatures: 4, outFeatures: 4 })
    const before = JSON.stringify(lora)
    const other = new MicroLora({ inFeatures: 5, outFeatures: 4, rank: 3 })
    expect(() => lora.restore(other.toJSON())).toThrow(MismatchError)
    expect(() => lora.restore(other.toJSON())).toThrow(
      /rank: got 3, expected 2\n.*alpha: got 6, expected 4\n.*modules.default: got 5 → 4, expected 4 → 4/,
    )
    expect(JSON.stringify(lora)).toBe(before)
  })
  it('bytes that are torn, changed, or of another file', async () => {
    const bytes = used().toSafetensors()
    const at = bytes.length - 5
    const read = (given: Uint8Array) => MicroLora.fromSafetensors(given)
    await expect(read(bytes.with(at, bytes[at]! ^ 1))).rejects.toThrow('the checksum is wrong')
    await expect(read(bytes.subarray(0, bytes.length - 4))).rejects.toThrow('truncated')
    await expect(read(new Uint8Array(3))).rejects.toThrow(FormatError)
    await expect(read(used().toPeft()['adapter_model.safetensors'])).rejects.toThrow(
      'is not a saved MicroLoRA',
    )
  })
})

describe('outputs of explore that wait for their reward', () => {
  const explored = (): MicroLora => {
    const lora = used()
    lora.explore(x, { module: q, sessionId: 'one' })
    lora.explore(x, { module: v, sessionId: 'two' })
    lora.explore(x, { module: q })
    return lora
  }
  /** Rewards of all sessions, then outputs and further exploring. */
  const goOn = (lora: MicroLora): unknown => [
    lora.adapt(x, { explored: true, reward: 0.9, sourceModule: v, sessionId: 'two' }),
    lora.adapt(x, { explored: true, reward: 0.2, sourceModule: q, sessionId: 'one' }),
    lora.adapt(x, { explored: true, reward: 0.4, sourceModule: q }),
    lora.applyUpdatesWithEwc(0.02),
    lora.explore(x, { module: q }),
    lora.toJSON(),
  ]
  it('are part of the state: going on gives the same as without a break', async () => {
    const uninterrupted = goOn(explored())
    const lora = explored()
    expect(goOn(MicroLora.fromJSON(JSON.stringify(lora)))).toEqual(uninterrupted)
    expect(goOn(await MicroLora.fromSafetensors(lora.toSafetensors()))).toEqual(uninterrupted)
    const other = used()
    other.restore(lora.toJSON())
    expect(goOn(other)).toEqual(uninterrupted)
  })
  it('are gone after a restore to a state without them', () => {
    const lora = explored()
    lora.restore(used().toJSON())
    expect(() =>
      lora.adapt(x, { explored: true, reward: 1, sourceModule: q, sessionId: 'one' }),
    ).toThrow('waits for a reward in session')
    expect(JSON.stringify(used().toJSON().state)).not.toContain('emissions')
  })
  it.each([
    ['no list', 5, FormatError],
    ['another module', [{ module: 'z', session: '' }], FormatError],
    ['no session', [{ module: q }], FormatError],
    ['more than there are tensors', [{ module: q, session: '' }], MismatchError],
  ])('are refused with %s', (_, emissions, type) => {
    const json = used().toJSON()
    const state = { ...(json.state as object), emissions }
    const tensors = new Map(
      Object.entries(json.tensors).map(([name, base64]) => [
        name,
        new Float32Array(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer),
      ]),
    )
    expect(() =>
      MicroLora.fromJSON({ ...json, state, checksum: computeStateChecksum(state, tensors) }),
    ).toThrow(type)
  })
})

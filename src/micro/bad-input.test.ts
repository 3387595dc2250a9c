import { describe, expect, it } from 'vitest'
import { NumericError, OptionError, ShapeError } from '../base/errors.ts'
import type { Feedback } from './feedback.ts'
import { MicroLora } from './micro-lora.ts'
import type { MicroLoraOptions } from './options.ts'
import { awaken, randomVector } from './testing.ts'

const small = { inFeatures: 12, outFeatures: 8 }
const x = randomVector(12, 1)
const target = randomVector(8, 2)

describe('bad input is refused by name and changes nothing', () => {
  const nan = x.with(3, NaN)
  const adapt =
    (feedback: Feedback, input = x) =>
    (lora: MicroLora) =>
      lora.adapt(input, feedback)
  const cases: [string, (lora: MicroLora) => unknown, new (...args: never[]) => Error, string][] = [
    [
      'an input too short',
      (lora) => lora.forward(new Float32Array(11)),
      ShapeError,
      'default: input: got 11 values, expected 12',
    ],
    [
      'an input of another type',
      (lora) => lora.forward([1] as unknown as Float32Array),
      ShapeError,
      'input: got [object Array], expected 12',
    ],
    [
      'no input',
      (lora) => lora.forward(undefined as unknown as Float32Array),
      ShapeError,
      'input: got [object Undefined]',
    ],
    ['NaN in the input', (lora) => lora.forward(nan), NumericError, 'input is NaN at 3'],
    [
      'infinity in the input',
      (lora) => lora.forward(x.with(0, Infinity)),
      NumericError,
      'input is Infinity at 0',
    ],
    [
      'NaN in a batch',
      (lora) => lora.forwardBatch(Float32Array.from([...x, ...nan])),
      NumericError,
      'inputs is NaN at 15',
    ],
    [
      'a batch that does not divide',
      (lora) => lora.forwardBatch(new Float32Array(13)),
      ShapeError,
      'got 13 values, expected a multiple of 12',
    ],
    [
      'NaN in the output to add to',
      (lora) => lora.forwardAdd(x, new Float32Array(8).fill(NaN)),
      NumericError,
      'output is NaN at 0',
    ],
    [
      'a target too long',
      adapt({ target: new Float32Array(9) }),
      ShapeError,
      'target: got 9 values, expected 8',
    ],
    [
      'NaN in the target',
      adapt({ target: target.with(2, NaN) }),
      NumericError,
      'target or gradient is NaN at 2',
    ],
    [
      'NaN in the base',
      adapt({ target, base: target.with(1, NaN) }),
      NumericError,
      'base is NaN at 1',
    ],
    ['NaN in the input of adapt', adapt({ target }, nan), NumericError, 'input is NaN at 3'],
    [
      'a gradient of another size',
      adapt({ gradient: new Float32Array(7) }),
      ShapeError,
      'gradient: got 7 values, expected 8',
    ],
    [
      'infinity in the gradient',
      adapt({ gradient: target.with(0, -Infinity) }),
      NumericError,
      'is -Infinity at 0',
    ],
    [
      'numbers too large for sums',
      adapt({ target: new Float32Array(8).fill(1e30) }),
      NumericError,
      'too large',
    ],
    [
      'a quality above 1',
      adapt({ target, quality: 1.1 }),
      OptionError,
      'quality: got 1.1, expected a number from 0 to 1',
    ],
    [
      'NaN as quality and reward',
      adapt({ target, quality: NaN, reward: NaN }),
      OptionError,
      'reward: got NaN',
    ],
    [
      'an unknown verdict',
      adapt({ target, verdict: 'meh' as 'good' }),
      OptionError,
      'verdict: got "meh", expected "good", "bad"',
    ],
    [
      'an unknown field',
      adapt({ target, learningRate: 1 } as Feedback),
      OptionError,
      'feedback: there is no option "learningRate"',
    ],
    [
      'target and gradient at once',
      adapt({ target, gradient: target } as unknown as Feedback),
      OptionError,
      'give one of them',
    ],
    [
      'no feedback',
      adapt(undefined as unknown as Feedback),
      OptionError,
      'feedback: got undefined, expected an object',
    ],
    ['feedback that is a number', adapt(1 as unknown as Feedback), OptionError, 'feedback: got 1'],
    [
      'a module that is no name',
      adapt({ target, sourceModule: 5 as unknown as string }),
      OptionError,
      'there is no module "5"',
    ],
    [
      'NaN in the base of a class',
      adapt({ quality: 1, emitted: 2, base: target.with(1, NaN) }),
      NumericError,
      'base is NaN at 1',
    ],
    [
      'NaN in the base of a try',
      (lora) => lora.explore(x, { base: target.with(1, NaN) }),
      NumericError,
      'base is NaN at 1',
    ],
    [
      'a base that is a list',
      (lora) => lora.explore(x, { base: [...target] as unknown as Float32Array }),
      ShapeError,
      'in a Float32Array',
    ],
    [
      'NaN in weights to merge into',
      (lora) => lora.mergeInto(new Float32Array(96).fill(NaN)),
      NumericError,
      'base weights: hold NaN',
    ],
    [
      'nothing to go by',
      adapt({} as Feedback),
      OptionError,
      'give a target, a gradient, or a reward',
    ],
    [
      'a reward without a direction',
      adapt({ quality: 1 } as Feedback),
      OptionError,
      'not in which direction',
    ],
    [
      'a class that is not there',
      adapt({ quality: 1, emitted: 8 }),
      OptionError,
      'got class 8, expected an integer from 0 to 7',
    ],
    [
      'an emission of another size',
      adapt({ quality: 1, emitted: new Float32Array(3) }),
      ShapeError,
      'emitted: got 3 values, expected 8',
    ],
    [
      'NaN in what was emitted',
      adapt({ quality: 1, emitted: target.with(0, NaN) }),
      NumericError,
      'emitted contains NaN',
    ],
    ['a rate of zero', (lora) => lora.applyUpdates(0), OptionError, 'learningRate: got 0'],
    ['a rate that is NaN', (lora) => lora.applyUpdates(NaN), OptionError, 'learningRate: got NaN'],
    ['a negative λ', (lora) => lora.applyUpdatesWithEwc(1, -1), OptionError, 'lambda: got -1'],
  ]
  it.each(cases)('%s', (_, call, kind, message) => {
    const lora = new MicroLora({ ...small, ewc: true })
    awaken(lora.module())
    lora.adapt(x, { target, quality: 0.5 })
    const before = JSON.stringify(lora)
    expect(() => call(lora)).toThrow(kind)
    expect(() => call(lora)).toThrow(message)
    expect(JSON.stringify(lora)).toBe(before)
  })
  it.each([
    [null as unknown as MicroLoraOptions, 'options: got null, expected an object'],
    [{ rank: 0 }, 'rank: got 0, expected an integer from 1 to 16'],
    [{ rank: 17 }, 'rank: got 17'],
    [
      { rank: 1.5, inFeatures: 0, dropout: 1 },
      'inFeatures: got 0, expected an integer from 1 to 16777216; rank: got 1.5, expected an integer from 1 to 16; dropout: got 1,',
    ],
    [{ alpha: NaN }, 'alpha: got NaN, expected a number above 0'],
    [{ modules: {} }, 'modules: got {}, expected an object with one module or more'],
    [{ modules: { q: { inFeatures: 4, outFeatures: -1 } } }, 'modules.q.outFeatures: got -1'],
    [{ learningRate: 1 } as MicroLoraOptions, 'there is no option "learningRate"'],
    [{ Rank: 4 } as MicroLoraOptions, 'there is no option "Rank". Did you mean "rank"?'],
    [
      { modules: { q: { inFeatures: 4, outfeatures: 4 } } } as unknown as MicroLoraOptions,
      'there is no option "modules.q.outfeatures". Did you mean "modules.q.outFeatures"?',
    ],
    [
      { modules: { q: { inFeatures: 4 } } } as unknown as MicroLoraOptions,
      'modules.q: expected both inFeatures and outFeatures',
    ],
  ])('options %o', (options, message) => {
    expect(() => new MicroLora(options)).toThrow(OptionError)
    expect(() => new MicroLora(options)).toThrow(message)
  })
  it('a batch of which one input is refused leaves the outputs that were given', () => {
    const lora = new MicroLora(small)
    awaken(lora.module())
    const outputs = new Float32Array(16).fill(7)
    expect(() =>
      lora.forwardBatch(Float32Array.from([...x, ...x.map((value) => 1e30 * value)]), outputs),
    ).toThrow('too large')
    expect(outputs).toEqual(new Float32Array(16).fill(7))
    expect(lora.forwardBatch(Float32Array.from([...x, ...x]), outputs)).toBe(outputs)
    expect(outputs.subarray(8)).toEqual(lora.forward(x))
  })
  it('a disposed adapter ends no task in memory that may be another one’s', () => {
    const lora = new MicroLora({ ...small, ewc: true })
    lora.dispose()
    expect(() => lora.consolidate()).toThrow('disposed')
  })
  it('what one session or module explored is not learned as another’s', () => {
    const lora = new MicroLora({ modules: { a: small, 'a b': small } })
    lora.explore(x, { module: 'a', sessionId: 'b c' })
    expect(() =>
      lora.adapt(x, { explored: true, reward: 1, sourceModule: 'a b', sessionId: 'c' }),
    ).toThrow('waits for a reward in session')
    expect(() =>
      lora.adapt(x, { explored: true, reward: 1, sourceModule: 'a', sessionId: 'c' }),
    ).toThrow('waits for a reward in session')
    expect(
      lora.adapt(x, { explored: true, reward: 1, sourceModule: 'a', sessionId: 'b c' }),
    ).toBeTypeOf('number')
  })
  it('a gradient that overflows when summed is dropped, the weights stay', () => {
    const lora = new MicroLora({ ...small, clip: Infinity })
    awaken(lora.module())
    const before = lora.module().read('weights')
    lora.adapt(
      x.map((value) => 1e12 * value),
      { gradient: target.map((value) => 1e12 * value) },
    )
    expect(() => lora.applyUpdates(0.1)).toThrow(NumericError)
    expect([lora.module().read('weights'), lora.pendingUpdates]).toEqual([before, 0])
    lora.adapt(x, { target })
    lora.applyUpdates(0.01)
    expect(lora.module().read('weights').every(Number.isFinite)).toBe(true)
  })
})

import { describe, expect, it } from 'vitest'
import { ShapeError } from '../base/errors.ts'
import { random } from '../base/random.ts'
import { f32, i64, type Tensor } from '../base/tensor.ts'
import { GraphBuilder } from './builder.ts'
import { frozenForms } from './quantized-base/frozen-form-table.ts'
import {
  bytes,
  codes,
  type CaseInput,
  exactly,
  fixed,
  integersBelow,
  integersFrom,
  maskInput,
  numbers,
  operationContract,
  positive,
  type OperationCase,
} from './operation.contract.ts'
import { operations } from './operation-table.ts'
import { sequenceCases } from './sequence-cases.testing.ts'
import { normal } from './testing.ts'

const pair: OperationCase[] = [
  { inputs: [numbers('N', 'T', 4), numbers('N', 'T', 4)] },
  { title: 'broadcast on the right', inputs: [numbers('N', 'T', 4), numbers(4)] },
  { title: 'broadcast on the left', inputs: [numbers(4), numbers('N', 'T', 4)] },
  {
    title: 'broadcast of an inner 1 and a scalar',
    inputs: [numbers('N', 1, 4), numbers('N', 'T', 1)],
  },
  { title: 'scalar', inputs: [numbers('T', 2), numbers()] },
]
const unary: OperationCase[] = [{ inputs: [numbers('N', 'T', 4)] }]
const derivative: OperationCase[] = [{ inputs: [numbers('T', 4), numbers('T', 4)] }]
const attentionForm = { heads: 4, kvHeads: 2, headWidth: 3, scale: 0.6, softcap: 0 }
const attentionInputs = [
  numbers('N', 'T', 12),
  numbers('N', 'T', 6),
  numbers('N', 'T', 6),
  maskInput('N', 1, 'T', 'T'),
]
const cachedInputs = [
  ...[numbers('N', 'T', 12), numbers('N', 2, 'T', 3), numbers('N', 2, 'T', 3)],
  ...[
    numbers('N', 2, 'P', 3),
    numbers('N', 2, 'P', 3),
    maskInput('N', 1, 'T', 'P+T'),
    exactly(i64([2], [5, 3])),
  ],
]
/** One new token behind a cache of `slots`, seen as `blocks`; the last two slots are empty. */
const blockInputs = (slots: number, blocks: number): CaseInput[] => [
  ...[fixed('N', 1, 12), fixed('N', 2, 1, 3), fixed('N', 2, 1, 3)],
  ...[fixed('N', 2, slots, 3), fixed('N', 2, slots, 3)],
  exactly(
    f32([2, 1, 1, slots + 1], new Float32Array(2 * (slots + 1)).fill(-1e30, slots - 2, slots)),
  ),
  exactly(i64([2], [slots, 1])),
  exactly(i64([6], [0, 2, blocks, 1, slots / blocks, 3])),
  exactly(i64([6], [0, 2, 2, 1, blocks, slots / blocks])),
]
const i32 = (shape: readonly number[], values: readonly number[]): Tensor => ({
  dtype: 'i32',
  shape,
  data: Int32Array.from(values),
})
/** 1, −2, 0, the smallest number, the largest, 1/3. */
const halves: Tensor = {
  dtype: 'f16',
  shape: [6],
  data: Uint16Array.of(0x3c00, 0xc000, 0, 1, 0x7bff, 0x3555),
}
const pieceForm = { ...attentionForm, headWidth: 8 }
/** Three new tokens of one row behind `length` in a cache with some more slots. */
const pieceInputs = (length: number): CaseInput[] => [
  ...[fixed(1, 'T', 32), fixed(1, 'T', 16), fixed(1, 'T', 16)],
  ...[fixed(1, 2, length + 4, 8), fixed(1, 2, length + 4, 8)],
  exactly(i32([1], [length + 2])),
  exactly(i32([], [length + 3])),
]
const block = { bits: 4, block: 16, outFeatures: 3, inFeatures: 32, accuracy: 0, module: 'm' }
/** A frozen weight's parts, from random values. */
const frozenParts = (form: string, shape: readonly [number, number]): CaseInput[] =>
  frozenForms
    .get(form)!
    .quantize(normal(random(3), shape).data, shape)
    .map(exactly)
const frozenCases =
  (...lead: CaseInput[]): ((shape: readonly [number, number], form: string) => OperationCase) =>
  (weight, form) => ({
    title: `${form} ${weight.join(' × ')}`,
    inputs: [...lead, ...frozenParts(form, weight)],
    attributes: { form, weight, module: 'm' },
  })
const flat = { transA: false, transB: false, alpha: 1 }

/**
 * Four rows of shares that sum to 1; two ids each with shares that leave something for the rest,
 * also nothing and all of it.
 */
const shares = exactly(f32([4, 3], [0.2, 0.3, 0.5, 1, 0, 0, 0.1, 0.8, 0.1, 0.25, 0.25, 0.5]))
const topIds = exactly(i64([4, 2], [5, 0, 2, 3, 6, 1, 0, 4]))
const topShares = exactly(f32([4, 2], [0.5, 0.3, 1, 0, 0, 0, 0.6, 0.1]))

const toCases = (name: string) => ({ [name]: unary, [`${name}Gradient`]: derivative })
/** Cases by operation. An operation without a case fails below. */
const cases: Readonly<Record<string, readonly OperationCase[]>> = {
  ...sequenceCases,
  add: pair,
  subtract: pair,
  multiply: pair,
  divide: pair.map((one) => ({
    ...one,
    inputs: [one.inputs[0]!, positive(...one.inputs[1]!.shape)],
  })),
  scale: [{ inputs: [numbers('T', 4)], attributes: { factor: -1.5 } }],
  stopGradient: [{ inputs: [fixed('T', 4)] }],
  ...toCases('silu'),
  ...toCases('gelu'),
  ...toCases('geluTanh'),
  tanh: unary,
  sigmoid: unary,
  squareRoot: [{ inputs: [positive('T', 4)] }],
  exponential: unary,
  softplus: [
    { inputs: [numbers('N', 'T', 4)] },
    { title: 'far out', inputs: [exactly(f32([4], [-200, -40, 40, 200]))] },
  ],
  linear: [
    { inputs: [numbers('N', 'T', 4), numbers(5, 4)], attributes: { module: 'm' } },
    {
      title: 'with a bias',
      inputs: [numbers('N', 'T', 4), numbers(5, 4), numbers(5)],
      attributes: { module: 'm' },
    },
    {
      title: 'of rows',
      inputs: [numbers('M', 4), numbers(5, 4), numbers(5)],
      attributes: { module: 'm' },
    },
  ],
  matmul: [
    { inputs: [numbers('N', 'T', 4), numbers(4, 5)], attributes: flat },
    {
      title: 'transposed on the right',
      inputs: [numbers('N', 'T', 4), numbers(5, 4)],
      attributes: { ...flat, transB: true, alpha: 0.5 },
    },
    {
      title: 'transposed on the left',
      inputs: [numbers(4, 'T'), numbers(4, 5)],
      attributes: { ...flat, transA: true },
    },
    {
      title: 'transposed on both sides',
      inputs: [numbers(4, 'T'), numbers(5, 4)],
      attributes: { transA: true, transB: true, alpha: 2 },
    },
    {
      title: 'batched',
      inputs: [numbers('N', 2, 'T', 4), numbers('N', 2, 4, 5)],
      attributes: flat,
    },
    {
      title: 'batched, transposed on the right',
      inputs: [numbers('N', 2, 'T', 4), numbers('N', 2, 'P', 4)],
      attributes: { ...flat, transB: true, alpha: 0.3 },
    },
    {
      title: 'batched, transposed on the left',
      inputs: [numbers('N', 4, 'T'), numbers('N', 4, 5)],
      attributes: { ...flat, transA: true },
    },
  ],
  chunkedProduct: [
    { inputs: [fixed(1, 'T', 5), fixed(12, 5), exactly(i64([1], [4]))] },
    {
      title: 'in one chunk, of one token',
      inputs: [fixed(1, 1, 5), fixed(7, 5), exactly(i64([1], [7]))],
    },
  ],
  partsProduct: [
    {
      inputs: [fixed('N', 1, 8), fixed(3, 5, 4)],
      attributes: { owners: [0, 0, 1] },
    },
    {
      title: 'of parts of equal width',
      inputs: [fixed('N', 1, 6), fixed(2, 4, 3)],
      attributes: { owners: [0, 1] },
    },
  ],
  groupedProduct: [
    {
      inputs: [
        ...[fixed(3, 1, 5), fixed(2, 2, 3, 5), fixed(2, 3, 4, 3)],
        // Rows 2 and 0 have the first adapter, row 1 the second; one place is empty.
        exactly(i64([2, 1, 2, 2], [2, 0, 0, 0, 1, 0, 0, 0])),
        exactly(f32([2, 1, 2, 1], [1, 0.5, 1, 0])),
        exactly(
          i64(
            [3, 1, 3, 3],
            [
              [0, 1],
              [1, 0],
              [0, 0],
            ].flatMap(([group, place]) => [0, 1, 2].flatMap((unit) => [group!, unit, place!])),
          ),
        ),
      ],
      attributes: { owners: [0, 0, 1] },
    },
    {
      title: 'of one part',
      inputs: [
        ...[fixed(2, 1, 5), fixed(1, 1, 3, 5), fixed(1, 1, 4, 3)],
        exactly(i64([1, 1, 2, 2], [1, 0, 0, 0])),
        exactly(f32([1, 1, 2, 1], [1, 0])),
        exactly(i64([2, 1, 3], [0, 0, 1, 0, 0, 0])),
      ],
      attributes: { owners: [0] },
    },
  ],
  quantizedLinear: [
    {
      title: '4 bits',
      inputs: [numbers('N', 'T', 32), bytes(3, 2, 8), fixed(6)],
      attributes: block,
    },
    {
      title: '4 bits with offsets',
      inputs: [numbers('M', 32), bytes(3, 2, 8), fixed(6), fixed(2, 3)],
      attributes: block,
    },
    {
      title: '8 bits',
      inputs: [numbers('N', 'T', 32), bytes(3, 2, 16), fixed(6)],
      attributes: { ...block, bits: 8 },
    },
  ],
  int8Linear: [{ inputs: [numbers(1, 'T', 32), fixed(32), codes(32, 5), fixed(5)] }],
  frozenLinear: [
    frozenCases(numbers('N', 'T', 96))([6, 96], 'nf4'),
    frozenCases(numbers('M', 64))([300, 64], 'nf4'), // more than one block of magnitudes
    frozenCases(numbers('N', 'T', 96))([6, 96], 'int8'),
    frozenCases(numbers('M', 128))([5, 128], 'int8'),
    frozenCases(numbers('M', 86))([5, 86], 'int8'), // blocks of 43
  ],
  frozenLinearGradient: [
    frozenCases(fixed('N', 'T', 6))([6, 96], 'nf4'),
    frozenCases(fixed('M', 300))([300, 64], 'nf4'),
    frozenCases(fixed('N', 'T', 5))([5, 128], 'int8'),
  ],
  frozenEmbedding: [
    frozenCases(integersBelow(6, 'N', 'T'))([6, 128], 'int8'),
    frozenCases(integersBelow(6, 'M'))([6, 96], 'int8'),
    frozenCases(integersBelow(6, 'N', 'T'))([6, 64], 'nf4'),
  ],
  frozenWeight: [frozenCases()([6, 96], 'nf4'), frozenCases()([6, 96], 'int8')],
  reshape: [
    {
      title: 'splits an axis',
      inputs: [numbers('N', 'T', 6)],
      attributes: { shape: ['N', 'T', 2, 3] },
    },
    {
      title: 'joins named axes',
      inputs: [numbers('N', 'T', 6)],
      attributes: { shape: ['N', '6*T'] },
    },
  ],
  transpose: [{ inputs: [numbers('N', 'T', 2, 4)], attributes: { order: [0, 2, 3, 1] } }],
  slice: [
    { inputs: [numbers('N', 'T', 6)], attributes: { axis: 2, start: 2, end: 5 } },
    {
      title: 'from the first',
      inputs: [numbers(6, 'T')],
      attributes: { axis: 0, start: 0, end: 2 },
    },
  ],
  pad: [{ inputs: [numbers('T', 4)], attributes: { axis: 1, before: 2, after: 1 } }],
  after: [
    { inputs: [numbers('N', 'T', 4), fixed('N', 3)] },
    { title: 'a gate whose open axis is not the first', inputs: [numbers('T', 4), fixed(2, 'T')] },
  ],
  concat: [
    { inputs: [numbers('T', 2), numbers('T', 3), numbers('T', 1)], attributes: { axis: 1 } },
    {
      title: 'on a named axis',
      inputs: [fixed('N', 'P', 2), fixed('N', 'T', 2)],
      attributes: { axis: 1 },
    },
  ],
  reduceSum: [
    { inputs: [numbers('N', 'T', 4)], attributes: { axes: [0, 2], keepDims: false } },
    { title: 'kept', inputs: [numbers('N', 'T', 4)], attributes: { axes: [1], keepDims: true } },
    {
      title: 'of everything',
      inputs: [numbers('N', 'T')],
      attributes: { axes: [0, 1], keepDims: false },
    },
  ],
  softmax: [{ inputs: [numbers('N', 'T', 5)] }],
  softmaxGradient: derivative,
  rmsNorm: [
    { inputs: [numbers('N', 'T', 6), numbers(6)], attributes: { epsilon: 1e-5, offset: 0 } },
    {
      title: 'of heads, weight offset 1',
      inputs: [numbers('N', 'T', 2, 6), numbers(6)],
      attributes: { epsilon: 1e-3, offset: 1 },
    },
  ],
  rmsNormalize: [{ inputs: [numbers('N', 'T', 6)], attributes: { epsilon: 1e-5, offset: 0 } }],
  rmsNormGradient: [
    {
      inputs: [numbers('N', 'T', 6), numbers(6), numbers('N', 'T', 6)],
      attributes: { epsilon: 1e-5, offset: 1 },
    },
  ],
  rotary: [
    {
      inputs: [numbers('N', 'T', 12), fixed('P', 3), fixed('P', 3), integersBelow(5, 'N', 'T')],
      attributes: { heads: 2 },
    },
    {
      title: 'of a part of each head',
      inputs: [numbers('N', 'T', 16), fixed('P', 2), fixed('P', 2), integersBelow(5, 'N', 'T')],
      attributes: { heads: 2 },
    },
    {
      title: 'turning back',
      inputs: [numbers('N', 'T', 12), fixed('P', 3), fixed('P', 3), integersBelow(5, 'N', 'T')],
      attributes: { heads: 2, inverse: true },
    },
  ],
  attention: [
    { title: 'grouped', inputs: attentionInputs, attributes: attentionForm },
    {
      title: 'grouped and capped',
      inputs: attentionInputs,
      attributes: { ...attentionForm, softcap: 2 },
    },
    {
      title: 'one key head a query head, one mask for all',
      inputs: [
        numbers('N', 'T', 6),
        numbers('N', 'T', 6),
        numbers('N', 'T', 6),
        maskInput(1, 1, 'T', 'T'),
      ],
      attributes: { ...attentionForm, heads: 2 },
    },
  ],
  cacheEntry: [{ inputs: [numbers('N', 'T', 6)], attributes: { heads: 2, headWidth: 3 } }],
  blockAttention: [
    { inputs: blockInputs(12, 1), attributes: attentionForm },
    { title: 'in blocks', inputs: blockInputs(12, 3), attributes: attentionForm },
    {
      title: 'softly capped',
      inputs: blockInputs(12, 2),
      attributes: { ...attentionForm, softcap: 1.5 },
    },
  ],
  pieceAttention: [
    { inputs: pieceInputs(5), attributes: { ...pieceForm, window: 0 } },
    { title: 'nothing before', inputs: pieceInputs(0), attributes: { ...pieceForm, window: 0 } },
    {
      title: 'in a window shorter than the past',
      inputs: pieceInputs(5),
      attributes: { ...pieceForm, window: 3 },
    },
    {
      title: 'in a window of one token',
      inputs: pieceInputs(5),
      attributes: { ...pieceForm, window: 1 },
    },
  ],
  cachedAttention: [
    { title: 'grouped', inputs: cachedInputs, attributes: attentionForm },
    {
      title: 'grouped and capped',
      inputs: cachedInputs,
      attributes: { ...attentionForm, softcap: 2 },
    },
    {
      title: 'with an empty cache',
      inputs: [
        ...cachedInputs.slice(0, 3),
        numbers('N', 2, 0, 3),
        numbers('N', 2, 0, 3),
        maskInput('N', 1, 'T', 'T'),
        exactly(i64([2], [0, 3])),
      ],
      attributes: attentionForm,
    },
  ],
  embedding: [{ inputs: [numbers(6, 3), integersBelow(6, 'N', 'T')] }],
  gatherRows: [{ inputs: [numbers('N', 'T', 3), integersBelow(6, 'M')] }],
  scatterRows: [
    { inputs: [numbers('M', 3), integersBelow(6, 'M'), numbers('N', 'T', 3)] },
    {
      title: 'of a table',
      inputs: [numbers('N', 'T', 3), integersBelow(5, 'N', 'T'), numbers('P', 3)],
    },
  ],
  knownIds: [{ inputs: [integersFrom(-3, 6, 'N', 'T')] }],
  widenHalf: [
    { inputs: [exactly(halves)] },
    {
      title: 'no number at all',
      inputs: [exactly({ ...halves, shape: [0], data: halves.data.slice(0, 0) })],
    },
  ],
  packVectors: [
    { inputs: [fixed('N', 'T', 6)] },
    {
      title: 'no numbers but 0, small and large ones',
      inputs: [exactly(f32([4, 2], [0, 0, 1e-9, -2e-9, 3e20, 1e20, 127, 126.5]))],
    },
  ],
  unpackVectors: [{ inputs: [codes('N', 'T', 6)] }],
  roundToHalf: [
    { inputs: [fixed('N', 'T', 4)] },
    {
      title: 'ties, small and large numbers',
      inputs: [
        exactly(
          f32(
            [9],
            [1 + 2 ** -11, 1 + 3 * 2 ** -11, -0, 2 ** -24, 2 ** -25, 3e-6, 65_519, 1e9, -1e30],
          ),
        ),
      ],
    },
  ],
  virtualRows: [{ inputs: [integersFrom(-3, 6, 'N', 'T')] }],
  replaceVirtual: [
    { inputs: [numbers('N', 'T', 4), numbers(3, 4), integersFrom(-3, 6, 'N', 'T')] },
    {
      title: 'without virtual tokens',
      inputs: [numbers('N', 'T', 4), numbers(3, 4), integersBelow(6, 'N', 'T')],
    },
  ],
  crossEntropy: [{ inputs: [numbers('M', 7), integersBelow(7, 'M')] }],
  crossEntropyGradient: [{ inputs: [numbers('M', 7), integersBelow(7, 'M'), numbers('M')] }],
  softCrossEntropy: [{ inputs: [numbers(4, 3), shares] }],
  softCrossEntropyGradient: [{ inputs: [numbers(4, 3), shares, numbers(4)] }],
  bucketCrossEntropy: [{ inputs: [numbers(4, 7), topIds, topShares] }],
  bucketCrossEntropyGradient: [{ inputs: [numbers(4, 7), topIds, topShares, numbers(4)] }],
}

describe('the table of operations', () => {
  it('has a case for every row, and no case without a row', () => {
    expect(Object.keys(cases).sort()).toEqual([...operations.keys()].sort())
  })
  for (const [name, list] of Object.entries(cases))
    for (const one of list) operationContract(name, one)
})

describe('shape rules refuse', () => {
  const g = new GraphBuilder()
  const x = g.input('x', 'f32', ['N', 'T', 4])
  const refusals: Readonly<Record<string, () => unknown>> = {
    'add of shapes that do not broadcast': () => g.add(x, g.input('three', 'f32', [3])),
    'a linear layer of another width': () => g.linear(x, g.weight('w', [5, 3]), 'm'),
    'a bias of another length': () => g.linear(x, g.weight('w4', [5, 4]), 'm', g.weight('b', [4])),
    'a product whose inner dimensions differ': () => g.matmul(x, g.weight('w', [5, 3])),
    'a slice beyond the end': () => g.slice(x, 2, 2, 5),
    'an empty slice': () => g.slice(x, 2, 2, 2),
    'a slice of a named axis': () => g.slice(x, 1, 0, 1),
    'a norm weight of another length': () => g.rmsNorm(x, g.weight('n', [3]), 1e-5),
    'more angles than a head has pairs': () =>
      g.op(
        'rotary',
        [
          x,
          g.input('cos', 'f32', ['P', 2]),
          g.input('sin', 'f32', ['P', 2]),
          g.input('p', 'i64', ['N', 'T']),
        ],
        { heads: 2 },
      ),
    'heads that do not fill the width': () =>
      g.op('attention', [x, x, x, x], { ...attentionForm, heads: 3 }),
    'lists of different shapes in one row': () =>
      g.concat([x, g.input('y', 'f32', ['N', 'S', 4])], 2),
    'cross-entropy over more than rows': () =>
      g.op('crossEntropy', [x, g.input('l', 'i64', ['M'])]),
    'shares of another vocabulary': () =>
      g.op('softCrossEntropy', [
        g.input('logits', 'f32', ['M', 4]),
        g.input('shares', 'f32', ['M', 5]),
      ]),
    'a table that is no matrix': () => g.op('embedding', [x, g.input('ids', 'i64', ['N'])]),
  }
  for (const [what, build] of Object.entries(refusals))
    it(what, () => expect(build).toThrow(ShapeError))
})

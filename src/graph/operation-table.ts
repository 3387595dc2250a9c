// The table of operations. A new one is a file or a value in `ops/` and a row here; the contract
// suite then runs it.

import { assertInternal } from '../base/errors.ts'
import type { Operation } from './operation.ts'
import { after } from './ops/after.ts'
import { attention, cachedAttention, cacheEntry } from './ops/attention.ts'
import {
  cachedConvolution,
  causalConvolution,
  shiftTokens,
  unshiftTokens,
} from './ops/sequence/convolution.ts'
import {
  countStarts,
  cumulativeSum,
  joinChunks,
  splitChunks,
  takeLast,
} from './ops/sequence/chunks.ts'
import { invertUnitLower, lowerPart, pairDecay, startDecay } from './ops/sequence/chunk-decay.ts'
import { stateScan } from './ops/sequence/state-scan.ts'
import { gatedDelta } from './ops/sequence/delta-rule.ts'
import { add, divide, multiply, scale, stopGradient, subtract } from './ops/elementwise.ts'
import { frozenEmbedding, frozenLinear, frozenLinearGradient, frozenWeight } from './ops/frozen.ts'
import { embedding, gatherRows, scatterRows } from './ops/gather.ts'
import { packVectors, roundToHalf, unpackVectors, widenHalf } from './ops/cache-elements.ts'
import { concat, pad, reshape, slice, transpose } from './ops/layout.ts'
import { crossEntropy, crossEntropyGradient } from './ops/loss.ts'
import { groupedProduct, partsProduct } from './ops/low-rank.ts'
import { chunkedProduct, linear, matmul } from './ops/matmul.ts'
import { rmsNorm, rmsNormalize, rmsNormGradient } from './ops/norm.ts'
import { positionGrowth } from './ops/sequence/positions.ts'
import { int8Linear, quantizedLinear } from './ops/quantized-linear.ts'
import { reduceSum, softmax, softmaxGradient } from './ops/reduce.ts'
import { rotary } from './ops/rotary.ts'
import { blockAttention, pieceAttention } from './ops/step-attention.ts'
import {
  bucketCrossEntropy,
  bucketCrossEntropyGradient,
  softCrossEntropy,
  softCrossEntropyGradient,
} from './ops/soft-labels.ts'
import { knownIds, replaceVirtual, virtualRows } from './ops/virtual.ts'
import {
  exponential,
  gelu,
  geluGradient,
  geluTanh,
  geluTanhGradient,
  sigmoid,
  silu,
  siluGradient,
  softplus,
  squareRoot,
  tanh,
} from './ops/unary.ts'

export const operations: ReadonlyMap<string, Operation> = new Map(
  [
    ...[add, subtract, multiply, divide, scale, stopGradient],
    ...[
      silu,
      siluGradient,
      gelu,
      geluGradient,
      geluTanh,
      geluTanhGradient,
      tanh,
      sigmoid,
      squareRoot,
      exponential,
      softplus,
    ],
    ...[linear, matmul, chunkedProduct, partsProduct, groupedProduct, quantizedLinear, int8Linear],
    ...[frozenLinear, frozenLinearGradient, frozenEmbedding, frozenWeight],
    ...[reshape, transpose, slice, pad, concat, after],
    ...[reduceSum, softmax, softmaxGradient],
    ...[rmsNorm, rmsNormalize, rmsNormGradient, rotary, positionGrowth],
    ...[attention, cacheEntry, cachedAttention, blockAttention, pieceAttention],
    ...[causalConvolution, cachedConvolution, shiftTokens, unshiftTokens],
    ...[widenHalf, roundToHalf, packVectors, unpackVectors],
    ...[gatedDelta, splitChunks, joinChunks, countStarts, cumulativeSum, takeLast],
    ...[pairDecay, startDecay, lowerPart, invertUnitLower, stateScan],
    ...[embedding, gatherRows, scatterRows],
    ...[knownIds, virtualRows, replaceVirtual],
    ...[crossEntropy, crossEntropyGradient],
    ...[softCrossEntropy, softCrossEntropyGradient, bucketCrossEntropy, bucketCrossEntropyGradient],
  ].map((operation) => [operation.name, operation]),
)

export function getOperation(name: string): Operation {
  const operation = operations.get(name)
  assertInternal(operation, `there is no operation "${name}"`)
  return operation
}

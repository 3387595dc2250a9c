// The weight of one part of a mixture: a number, or numbers by layer. Independent of adapters.

import { describeValue, isRecord } from '../../base/schema.ts'

/** A weight in some layers, counted from 0, both ends included. */
export interface LayerWeight {
  readonly layers: readonly [first: number, last: number]
  readonly weight: number
}

/** One weight for all layers, or those of some layers; it is 0 in the others. */
export type PartWeight = number | readonly LayerWeight[]

export const isWeightZero = (weight: PartWeight): boolean =>
  typeof weight === 'number' ? weight === 0 : weight.every((one) => one.weight === 0)

/**
 * A module's layer from its path: 'model.layers.3.mlp.down_proj' → 3; undefined outside of layers.
 */
export function findLayerOfPath(path: string): number | undefined {
  const number = /(?:^|\.)(\d+)\./.exec(path)?.[1]
  return number === undefined ? undefined : Number(number)
}

/** The weight at a module. A weight by layer is 0 at modules outside of layers. */
export function getWeightAt(weight: PartWeight, path: string): number {
  if (typeof weight === 'number') return weight
  const layer = findLayerOfPath(path)
  return (
    weight.find(
      ({ layers: [first, last] }) => layer !== undefined && first <= layer && layer <= last,
    )?.weight ?? 0
  )
}

/** The weight times a number. */
export const scaleWeight = (weight: PartWeight, factor: number): PartWeight =>
  typeof weight === 'number'
    ? weight * factor
    : weight.map((one) => ({ layers: one.layers, weight: one.weight * factor }))

/** Problems of a value that should be a weight. */
export function findWeightProblems(value: unknown, name: string): string[] {
  if (Number.isFinite(value)) return []
  if (!Array.isArray(value))
    return [
      `${name}: got ${describeValue(value)}, expected a finite number, or a list of { layers: [first, last], weight }`,
    ]
  const problems = value.flatMap((one: unknown, i) => findLayerProblems(one, `${name}[${i}]`))
  return problems.length > 0 ? problems : findOverlaps(value as LayerWeight[], name)
}

function findLayerProblems(value: unknown, name: string): string[] {
  if (!isRecord(value))
    return [`${name}: got ${describeValue(value)}, expected { layers: [first, last], weight }`]
  const { layers, weight, ...others } = value
  const isLayer = (one: unknown): boolean => Number.isSafeInteger(one) && (one as number) >= 0
  const isSpan =
    Array.isArray(layers) && layers.length === 2 && layers.every(isLayer) && layers[0] <= layers[1]
  return [
    ...Object.keys(others).map(
      (key) => `${name}: there is no "${key}"; expected layers and weight`,
    ),
    ...(isSpan
      ? []
      : [
          `${name}.layers: got ${describeValue(layers)}, expected the first and the last layer, counted from 0`,
        ]),
    ...(Number.isFinite(weight)
      ? []
      : [`${name}.weight: got ${describeValue(weight)}, expected a finite number`]),
  ]
}

/** Layers that have two weights. */
export function findOverlaps(weights: readonly LayerWeight[], name: string): string[] {
  const sorted = weights.map(({ layers }) => layers).sort((a, b) => a[0] - b[0])
  return sorted.flatMap(([first], i) =>
    i > 0 && first <= sorted[i - 1]![1] ? [`${name}: layer ${first} has two weights`] : [],
  )
}

/** Layers of the weight that the model does not have. */
export function findAbsentLayers(weight: PartWeight, layers: number, name: string): string[] {
  if (typeof weight === 'number') return []
  return weight
    .filter(({ layers: [, last] }) => last >= layers)
    .map(
      ({ layers: [first, last] }) =>
        `${name}: layers ${first}-${last}: the model has ${layers} layers, 0-${layers - 1}`,
    )
}

// What comparisons with PEFT's results share: an adapter with its inputs and results, and three
// steps of AdamW as PEFT's scripts take them.

import type { Adapter } from '../../src/adapters/adapter.ts'
import { loadAdapter } from '../../src/adapters/files/peft.ts'
import type { Tensor } from '../../src/base/tensor.ts'
import { toFloat32 } from '../../src/formats/convert.ts'
import { folderAt, gradientOf, parity, readTensors, relativeDistance, rowsOf } from './adapters.ts'

export interface PeftCase {
  readonly adapter: Adapter
  readonly expected: ReadonlyMap<string, Tensor>
  readonly ids: number[][]
  readonly labels: number[][]
}

/** The folder of this name in test/parity; cases without inputs of their own have the base's. */
export async function readPeftCase(name: string): Promise<PeftCase> {
  const directory = new URL(`${name}/`, parity)
  const expected = await readTensors(new URL('expected.safetensors', directory))
  const inputs = expected.has('input_ids')
    ? expected
    : await readTensors(new URL('base.safetensors', parity))
  return {
    adapter: await loadAdapter(folderAt(directory)),
    expected,
    ids: rowsOf(inputs.get('input_ids')!),
    labels: rowsOf(inputs.get('labels')!),
  }
}

export type Floats = Float32Array | Float64Array
const rate = 1e-2

/**
 * One step of AdamW with decoupled weight decay (Loshchilov and Hutter 2019), as torch computes it.
 */
function stepAdamW(
  parameter: Floats,
  gradient: ArrayLike<number>,
  [mean, square]: readonly [Floats, Floats],
  step: number,
): void {
  const beta1 = 0.9
  const beta2 = 0.999
  const epsilon = 1e-8
  const decay = 0.01
  for (let i = 0; i < parameter.length; i++) {
    mean[i] = beta1 * mean[i]! + (1 - beta1) * gradient[i]!
    square[i] = beta2 * square[i]! + (1 - beta2) * gradient[i]! ** 2
    const scale = Math.sqrt(square[i]! / (1 - beta2 ** step)) + epsilon
    parameter[i] =
      parameter[i]! * (1 - rate * decay) - (rate * (mean[i]! / (1 - beta1 ** step))) / scale
  }
}

/** Losses, parameters and the first gradients of three steps, in the precision of the feeds. */
export async function trainThreeSteps(
  run: (feeds: ReadonlyMap<string, Tensor>) => Promise<ReadonlyMap<string, Tensor>>,
  feeds: ReadonlyMap<string, Tensor>,
  names: readonly string[],
) {
  const copy = (name: string): Floats => feeds.get(name)!.data.slice() as Floats
  const parameters = new Map(
    names.map((name) => [name, { ...feeds.get(name)!, data: copy(name) } as Tensor]),
  )
  const moments = new Map(
    names.map((name) => [name, [copy(name).fill(0), copy(name).fill(0)] as const]),
  )
  const first = new Map<string, ArrayLike<number>>()
  const losses: number[] = []
  for (let step = 1; step <= 3; step++) {
    const outputs = await run(new Map([...feeds, ...parameters]))
    losses.push(Number(outputs.get('loss')!.data[0]))
    for (const [name, { data }] of parameters) {
      const gradient = gradientOf(outputs, name)
      if (step === 1) first.set(name, gradient)
      stepAdamW(data as Floats, gradient, moments.get(name)!, step)
    }
  }
  return { losses, parameters, first }
}

/**
 * How far apart two first steps from one place end, relative to the parameter after them: what
 * rounding in the gradient becomes. A step is near ±rate whatever the gradient's size, so where a
 * number of it is near 0, rounding can turn a whole step.
 */
export function measureStepSpread(
  start: ArrayLike<number>,
  gradients: readonly [ArrayLike<number>, ArrayLike<number>],
): number {
  const [one, other] = gradients.map((gradient) => {
    const parameter = Float64Array.from(start)
    stepAdamW(parameter, gradient, [parameter.map(() => 0), parameter.map(() => 0)], 1)
    return parameter
  }) as [Float64Array, Float64Array]
  return relativeDistance(one, other)
}

/** Names of parameters that ended further from PEFT's than the limit and three steps' rounding. */
export function listDistantParameters(
  { parameters, first }: Awaited<ReturnType<typeof trainThreeSteps>>,
  feeds: ReadonlyMap<string, Tensor>,
  expectedOf: (kind: 'grad' | 'after3', name: string) => Tensor | undefined,
  limit = 1e-4,
): string[] {
  return [...parameters.keys()].filter((name) => {
    const gradient = expectedOf('grad', name)
    const spread = gradient
      ? measureStepSpread(toFloat32(feeds.get(name)!), [first.get(name)!, toFloat32(gradient)])
      : 0
    const after = toFloat32(expectedOf('after3', name)!)
    return !(relativeDistance(parameters.get(name)!.data as Floats, after) < limit + 3 * spread)
  })
}

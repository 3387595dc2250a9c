// The state of a run before the first step, and the rule by which a step changes it. Used by
// training over texts and over vectors.

import { type Adapter, listParameterSpecs } from '../../adapters/adapter.ts'
import { findPartOf } from '../../adapters/joint/joint-adapters.ts'
import { isJointConfig } from '../../adapters/kinds/joint/joint-config.ts'
import type { AdapterConfig } from '../../adapters/kinds/kind.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import type { ModelGraph } from '../../graph/model-graph.ts'
import type { StepRecord, ValidationRecord } from '../history.ts'
import { computePartRate } from '../options/default-rates.ts'
import type { UpdateRecipe } from '../options/recipe.ts'
import type { Penalty } from '../optimizers/penalty.ts'
import type { StepRule } from '../optimizers/step-rule.ts'

/**
 * Everything that changes during a run. The order of the data follows from the step and the
 * fingerprint's seed.
 */
export interface RunState {
  /** Steps that are done. */
  step: number
  /** By PEFT key; changed in place by every step. */
  readonly parameters: Map<string, F32Tensor>
  /** The optimiser's state: parameter → slot → values. */
  readonly optimizer: Map<string, Record<string, F32Tensor>>
  best?: {
    readonly step: number
    readonly loss: number
    readonly tensors: ReadonlyMap<string, F32Tensor>
  }
  readonly steps: StepRecord[]
  readonly validations: ValidationRecord[]
}

/** An adapter's trained tensors and their learning rates. */
export interface TrainedParameters {
  /** PEFT keys that are trained. */
  readonly trainable: readonly string[]
  /** Keys whose learning rate LoRA+ raises. */
  readonly loraPlus: ReadonlySet<string>
  /** For joint kinds: the factor of each key's learning rate; 1 if absent. */
  readonly rates: ReadonlyMap<string, number>
}

export function listTrainedParameters(
  graph: ModelGraph,
  adapter: Pick<Adapter, 'kind' | 'config'>,
): TrainedParameters {
  const specs = [...listParameterSpecs(graph, adapter)]
  const raised = specs.filter(([, { learningRateGroup }]) => learningRateGroup === 'loraPlus')
  return {
    trainable: specs.filter(([, { trainable }]) => trainable).map(([key]) => key),
    loraPlus: new Set(raised.map(([key]) => key)),
    rates: collectPartRates(
      specs.map(([key]) => key),
      adapter.config,
    ),
  }
}

function collectPartRates(keys: readonly string[], config: AdapterConfig): Map<string, number> {
  if (!isJointConfig(config)) return new Map()
  const kinds = config.parts.map(({ kind }) => kind)
  return new Map(
    keys.map((key) => [key, computePartRate(findPartOf(key, config.parts).kind, kinds)]),
  )
}

/** How a step changes the parameters. */
export const createStepRule = (
  { optimizer, optimizerSettings }: UpdateRecipe,
  { clip, loraPlusRatio }: { readonly clip: number; readonly loraPlusRatio: number },
  { loraPlus, rates }: TrainedParameters,
  penalty: Penalty | undefined,
): StepRule => ({
  optimizer,
  settings: optimizerSettings,
  clip,
  ...(penalty && { penalty }),
  rateOf: (key) => (loraPlus.has(key) ? loraPlusRatio : 1) * (rates.get(key) ?? 1),
})

/**
 * The state before the first step: copies of the adapter's tensors, and zeros for the optimiser.
 */
export function createInitialState(
  { tensors }: Adapter,
  { trainable }: TrainedParameters,
  { optimizer, settings }: StepRule,
): RunState {
  const parameters = new Map(
    [...tensors].map(([key, tensor]) => [key, f32(tensor.shape, toFloat32(tensor).slice())]),
  )
  const slots = trainable.map((key) => {
    const shapes = Object.entries(optimizer.stateShapes(parameters.get(key)!.shape, settings))
    return [key, Object.fromEntries(shapes.map(([slot, shape]) => [slot, f32(shape)]))] as const
  })
  return { step: 0, parameters, optimizer: new Map(slots), steps: [], validations: [] }
}

const copyTensor = ({ shape, data }: F32Tensor): F32Tensor => f32(shape, data.slice())

export const copyTensors = (tensors: ReadonlyMap<string, F32Tensor>): Map<string, F32Tensor> =>
  new Map([...tensors].map(([key, tensor]) => [key, copyTensor(tensor)]))

const copySlots = (slots: Readonly<Record<string, F32Tensor>>): Record<string, F32Tensor> =>
  Object.fromEntries(Object.entries(slots).map(([slot, tensor]) => [slot, copyTensor(tensor)]))

/** A copy that later steps do not change. */
export const copyRunState = (state: RunState): RunState => ({
  ...state,
  parameters: copyTensors(state.parameters),
  optimizer: new Map([...state.optimizer].map(([key, slots]) => [key, copySlots(slots)])),
  steps: state.steps.slice(),
  validations: state.validations.slice(),
})

// Continues a DoRA run as LoRA after it diverged: A and B are kept and the magnitudes are dropped,
// because such runs usually diverge through the quotient m/n of magnitude and norm.

import type { Adapter } from '../../adapters/adapter.ts'
import type { ModelGraph } from '../../graph/model-graph.ts'
import type { Recipe } from '../options/recipe.ts'
import type { StepRule } from '../optimizers/step-rule.ts'
import {
  createStepRule,
  listTrainedParameters,
  type RunState,
  type TrainedParameters,
} from './run-state.ts'

/** The parts of a run that depend on its adapter's kind. */
export interface KindOfRun {
  readonly adapter: Adapter
  readonly trainable: TrainedParameters['trainable']
  readonly rule: StepRule
}

/** Whether a run with these settings continues as LoRA if it diverges. */
export const canFallBack = (
  { settings: { onDivergence } }: Recipe,
  { kind }: Pick<Adapter, 'kind'>,
): boolean => onDivergence === 'lora' && kind === 'dora'

const isMagnitude = (key: string): boolean => key.includes('lora_magnitude_vector')

const withoutMagnitudes = <Value>(entries: ReadonlyMap<string, Value>): Map<string, Value> =>
  new Map([...entries].filter(([key]) => !isMagnitude(key)))

/** Whether a checkpoint of a DoRA run was written after it continued as LoRA. */
export const hasFallenBack = ({ kind }: Adapter, { parameters }: RunState): boolean =>
  kind === 'dora' && ![...parameters.keys()].some(isMagnitude)

/** The same A and B as an adapter of kind LoRA, and its trained tensors. */
export function switchToLora(graph: ModelGraph, adapter: Adapter, recipe: Recipe): KindOfRun {
  const { tensors } = adapter
  const switched: Adapter = { ...adapter, kind: 'lora', tensors: withoutMagnitudes(tensors) }
  const parameters = listTrainedParameters(graph, switched)
  return {
    adapter: switched,
    trainable: parameters.trainable,
    rule: createStepRule(recipe, recipe.settings, parameters, undefined),
  }
}

/**
 * A state without magnitudes. Earlier validations are dropped, because they were measured on an
 * adapter of another kind: patience and the choice of the best adapter start again.
 */
export function toLoraState({ step, parameters, optimizer, steps }: RunState): RunState {
  return {
    step,
    parameters: withoutMagnitudes(parameters),
    optimizer: withoutMagnitudes(optimizer),
    steps,
    validations: [],
  }
}

// The programs that serve in steps, each compiled when it is first needed and kept. Independent of
// caches, adapters and of who is served.

import type { Tensor } from '../../../base/tensor.ts'
import type { Backend, Program } from '../../../compute/backend.ts'
import type { ModelGraph } from '../../../graph/model-graph.ts'
import type { BaseWeights } from '../base-weights.ts'
import { loadWeightInputs } from '../weight-inputs.ts'
import {
  buildDecodeGraph,
  buildPrefillGraph,
  type StepGraph,
  type StepNeeds,
} from './step-graph.ts'

export interface CompiledStep {
  /**
   * Runs a step. Feeds: those of step-feeds.ts, past.<layer>.k and .v [N, K, C, d], and the adapters'
   * tensors of its form. Outputs: cache.<layer>.k and .v [N, K, T, d], hidden, logits, and states
   * where they were asked for. Weights are added here.
   */
  run(feeds: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>>
}

export interface StepPrograms {
  /** One token of each row. */
  decode(needs: StepNeeds): Promise<CompiledStep>
  /** A piece of one prompt; the form 'grouped' is not for it. */
  prefill(needs: StepNeeds): Promise<CompiledStep>
  /** How many programs are compiled. */
  readonly count: number
  dispose(): Promise<void>
}

export interface StepProgramParts {
  readonly model: ModelGraph
  readonly weights: BaseWeights
  readonly backend: Backend
}

/** The programs of one model. Nothing is compiled before the first call that needs it. */
export function createStepPrograms(parts: StepProgramParts): StepPrograms {
  const { model, weights } = parts
  const programs = new Map<string, Promise<CompiledStep & Pick<Program, 'dispose'>>>()
  const getProgram = (
    what: 'decode' | 'prefill',
    {
      accuracy,
      form = 'none',
      sets = 1,
      vectors = false,
      gain = false,
      states,
      past = 'f32',
    }: StepNeeds,
    build: (model: ModelGraph, weights: BaseWeights, needs: StepNeeds) => StepGraph,
  ): Promise<CompiledStep> => {
    const needs = { accuracy, form, sets, vectors, gain, states, past }
    const key = JSON.stringify([what, needs])
    const known = programs.get(key) ?? compileStep(parts, build(model, weights, needs), accuracy)
    programs.set(key, known)
    return known
  }
  return {
    decode: (needs) => getProgram('decode', needs, buildDecodeGraph),
    prefill: (needs) => getProgram('prefill', needs, buildPrefillGraph),
    get count() {
      return programs.size
    },
    async dispose() {
      const running = [...programs.values()]
      programs.clear()
      await Promise.all(running.map(async (program) => (await program).dispose()))
    },
  }
}

/**
 * The one place where such a graph and the base's weights become a program. Packed weights are in
 * memory only until the runtime has them.
 */
async function compileStep(
  { weights, backend }: StepProgramParts,
  { graph, stacks }: StepGraph,
  accuracy: StepNeeds['accuracy'],
): Promise<CompiledStep & Pick<Program, 'dispose'>> {
  const { initializers, fed } = await loadWeightInputs(graph, { weights, accuracy }, stacks)
  const program = await backend.compile(graph, { initializers })
  return {
    run: (feeds) => program.run(new Map([...fed, ...feeds])),
    dispose: () => program.dispose(),
  }
}

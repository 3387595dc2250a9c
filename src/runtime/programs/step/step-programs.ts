// The programs that serve in steps, each compiled when it is first needed and kept. Independent of
// caches, adapters and of who is served.

import type { Tensor } from '../../../base/tensor.ts'
import type { Program } from '../../../compute/backend.ts'
import type { ModelGraph } from '../../../graph/model-graph.ts'
import type { BaseWeights } from '../base-weights.ts'
import type { ProgramCompiler, WeightedGraph } from '../program-compiler.ts'
import { buildDecodeGraph, buildPrefillGraph, type StepNeeds } from './step-graph.ts'

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
  readonly compiler: ProgramCompiler
}

type StepKind = 'decode' | 'prefill'
type StepProgram = CompiledStep & Pick<Program, 'dispose'>

const builders = { decode: buildDecodeGraph, prefill: buildPrefillGraph } as const

/** A program by what it is for; every need is named, so that equal ones have equal keys. */
interface StepRequest {
  readonly kind: StepKind
  readonly needs: StepNeeds
}

const completeNeeds = ({
  accuracy,
  form = 'none',
  sets = 1,
  vectors = false,
  gain = false,
  states,
  past = 'f32',
}: StepNeeds): StepNeeds => ({ accuracy, form, sets, vectors, gain, states, past })

/** The programs of one model. Nothing is compiled before the first call that needs it. */
export function createStepPrograms({ model, weights, compiler }: StepProgramParts): StepPrograms {
  const programs = new Map<string, Promise<StepProgram>>()
  const getProgram = (kind: StepKind, given: StepNeeds): Promise<StepProgram> => {
    const wanted = { kind, needs: completeNeeds(given) }
    const key = JSON.stringify(wanted)
    const known = programs.get(key)
    if (known) return known
    const others = compiler.isShared ? listCompanions(wanted) : []
    const requests = [wanted, ...others].filter((one) => !programs.has(JSON.stringify(one)))
    const compiled = compiler.compile(
      requests.map((one): WeightedGraph => builders[one.kind](model, weights, one.needs)),
      wanted.needs.accuracy,
    )
    requests.forEach((one, i) => {
      const program = compiled.then((made) => made[i]!)
      program.catch(() => undefined) // whoever asked for the first one hears of it
      programs.set(JSON.stringify(one), program)
    })
    return programs.get(key)!
  }
  return {
    decode: (needs) => getProgram('decode', needs),
    prefill: (needs) => getProgram('prefill', needs),
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
 * Programs that are soon needed where this one is. Where all of them share one copy of the weights,
 * a program that joins later has the weights packed again.
 */
function listCompanions({ kind, needs }: StepRequest): StepRequest[] {
  const { form } = needs
  const complete = (changes: Partial<StepNeeds>): StepNeeds =>
    completeNeeds({ ...needs, ...changes })
  if (form === 'none') return [{ kind: kind === 'prefill' ? 'decode' : 'prefill', needs }]
  const shared = complete({ form: 'shared', sets: 1 })
  return [
    { kind: 'prefill', needs: shared },
    { kind: 'decode', needs: shared },
    { kind: 'decode', needs: complete({ form: 'grouped', sets: 1, gain: false }) },
  ]
}

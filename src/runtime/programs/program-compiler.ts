// Compiles programs from graphs and the base's weights. If the backend reads files and a store for
// them is given, packed weights stay in files. The weights of a large model are in memory once for
// all programs of one accuracy if the backend supports it; otherwise each program has a copy.

import type { Tensor } from '../../base/tensor.ts'
import type { Backend, Program, ProgramGroup } from '../../compute/backend.ts'
import type { Accuracy } from '../../compute/pack-linears.ts'
import type { PackedFiles } from '../../compute/packed-files.ts'
import type { Graph } from '../../graph/ir.ts'
import type { BaseWeights } from './base-weights.ts'
import type { LinearStack } from './stack-linears.ts'
import { loadWeightInputs, type SharedWeights, type WeightInputs } from './weight-inputs.ts'

/** A graph over the base's weights, and which of its layers are several of the base's. */
export interface WeightedGraph {
  readonly graph: Graph
  readonly stacks: readonly LinearStack[]
  /** Weight inputs that exist already. */
  readonly made?: ReadonlyMap<string, Tensor> | undefined
  /** Whether it shares no weights, because its weights are unique or it is used only once. */
  readonly isAlone?: boolean
}

/** Smaller models are faster in separate programs, whose copies are small. */
const leastSharedBytes = 100e6

export interface ProgramCompiler {
  /** Whether programs of one accuracy share their weights. */
  readonly isShared: boolean
  /** Whether the shared weights are in this process's memory, not in files. */
  readonly sharesMemory: boolean
  /**
   * Compiles a program for each graph; its `run` adds the weights to the feeds. Packed weights are
   * in JavaScript only until the runtime has them.
   */
  compile(graphs: readonly WeightedGraph[], accuracy: Accuracy): Promise<Program[]>
}

export interface CompilerParts {
  readonly weights: BaseWeights
  readonly backend: Backend
  readonly files?: PackedFiles | undefined
  /** Of the base, in f32. Default 0. */
  readonly weightBytes?: number | undefined
  /** Called before the first program is compiled; throws where the machine cannot hold it. */
  readonly admit?: (() => void) | undefined
}

export function createProgramCompiler({
  weights,
  backend,
  files: given,
  weightBytes = 0,
  admit,
}: CompilerParts): ProgramCompiler {
  const files = backend.readsFiles ? given : undefined
  const isShared = files?.isShared ?? (backend.sharesMemory && weightBytes >= leastSharedBytes)
  const openGroup = isShared ? backend.openGroup : undefined
  const groups = new Map<Accuracy, ProgramGroup>()
  const shared: SharedWeights | undefined =
    backend.sharesMemory && openGroup ? new Map() : undefined
  let isAdmitted = false
  const getGroup = (accuracy: Accuracy): ProgramGroup | undefined => {
    const group = groups.get(accuracy) ?? openGroup?.()
    if (group) groups.set(accuracy, group)
    return group
  }
  return {
    isShared: openGroup !== undefined,
    sharesMemory: shared !== undefined,
    async compile(graphs, accuracy) {
      if (!isAdmitted) admit?.()
      isAdmitted = true
      const loaded: WeightInputs[] = []
      // one after the other: the first one makes the file that the others find
      for (const { graph, stacks, made } of graphs)
        loaded.push(
          await loadWeightInputs(graph, { weights, accuracy, files, shared }, stacks, made),
        )
      const members = graphs.map(({ graph }, i) => ({
        graph,
        initializers: loaded[i]!.initializers,
      }))
      const programs =
        (graphs.some(({ isAlone }) => isAlone)
          ? undefined
          : await getGroup(accuracy)?.add(members)) ??
        (await Promise.all(
          members.map(({ graph, initializers }) => backend.compile(graph, { initializers })),
        ))
      return programs.map((program, i) => withFedWeights(program, loaded[i]!.fed))
    },
  }
}

const withFedWeights = (program: Program, fed: ReadonlyMap<string, Tensor>): Program => ({
  run: (feeds) => program.run(new Map([...fed, ...feeds])),
  dispose: () => program.dispose(),
})

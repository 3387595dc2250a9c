// A backend for runtimes that copy every fed tensor: base weights become part of the program when
// it first runs, because copying 540 MB of them takes longer than the product. Independent of ONNX
// Runtime.

import { assertInternal } from '../base/errors.ts'
import { type FileTensor, isFileTensor, type Tensor } from '../base/tensor.ts'
import type { Graph } from '../graph/ir.ts'
import type { Backend, CompileOptions, GroupMember, Program, ProgramGroup } from './backend.ts'
import { type UnpackedWeights, unpackLinears } from './unpack-linears.ts'

/** WebAssembly addresses 4 GB; activations, caches and other programs need the rest. */
const defaultBudgetBytes = 2e9

/** Bytes of weights that all programs of a backend hold together. */
interface Budget {
  leftBytes: number
}

/**
 * The same backend with base weights inside its programs, in f32, up to `budgetBytes` for all
 * programs together; what does not fit is fed at every run, or stays packed. Programs that are
 * compiled `lean` are fed their weights, because they must hold little memory and run long.
 */
export function withResidentWeights(backend: Backend, budgetBytes = defaultBudgetBytes): Backend {
  const budget: Budget = { leftBytes: budgetBytes }
  const { openGroup } = backend
  return {
    name: backend.name,
    isMemoryScarce: true,
    ...(backend.emptyTensors !== undefined && { emptyTensors: backend.emptyTensors }),
    ...(openGroup && {
      sharesMemory: true,
      openGroup: () => new ResidentGroup(openGroup(), budget),
    }),
    async compile(graph, options = {}) {
      const given = requireInMemory(options.initializers)
      const unpacked = unpackLinears(graph, given, budget.leftBytes)
      const plain: CompileOptions = { ...options, initializers: unpacked.initializers }
      const heldBytes = countBytes(unpacked.initializers)
      budget.leftBytes -= heldBytes
      const weights = options.lean ? [] : listFedWeights(unpacked)
      const program =
        weights.length === 0
          ? await backend.compile(unpacked.graph, plain)
          : new ResidentProgram({ backend, graph: unpacked.graph, options: plain, weights, budget })
      return {
        run: (feeds) => program.run(feeds),
        async dispose() {
          budget.leftBytes += heldBytes
          await program.dispose()
        },
      }
    },
  }
}

/** This backend reads no files, so its callers never pass tensors that are in one. */
function requireInMemory(
  initializers: CompileOptions['initializers'] = new Map(),
): Map<string, Tensor> {
  return new Map(
    [...initializers].map(([name, tensor]) => {
      assertInternal(!isFileTensor(tensor), `the weight "${name}" is in memory`)
      return [name, tensor] as const
    }),
  )
}

const countBytes = (tensors: ReadonlyMap<string, Tensor | FileTensor>): number =>
  [...tensors.values()].reduce(
    (sum, tensor) => sum + (isFileTensor(tensor) ? tensor.sizeBytes : tensor.data.byteLength),
    0,
  )

const listFedWeights = ({
  graph,
  initializers,
}: {
  readonly graph: Graph
  readonly initializers: ReadonlyMap<string, Tensor | FileTensor>
}): string[] =>
  graph.inputs
    .filter(({ name, role }) => role === 'weight' && !initializers.has(name))
    .map(({ name }) => name)

interface ResidentParts {
  readonly backend: Backend
  readonly graph: Graph
  readonly options: CompileOptions
  /** Inputs that may become part of the program. */
  readonly weights: readonly string[]
  readonly budget: Budget
}

/** What is compiled, and the fed tensors that became part of it. */
interface Compiled {
  readonly program: Promise<Program>
  readonly resident: ReadonlyMap<string, Tensor>
}

/** Compiles at its first run, and once more when a weight turns out to change between runs. */
class ResidentProgram implements Program {
  readonly #parts: ResidentParts
  readonly #changing = new Set<string>()
  readonly #made: Compiled[] = []

  constructor(parts: ResidentParts) {
    this.#parts = parts
  }

  async run(feeds: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>> {
    let current = this.#made.at(-1)
    const changed = [...(current?.resident ?? [])].filter(
      ([name, tensor]) => feeds.get(name)?.data !== tensor.data,
    )
    for (const [name] of changed) this.#changing.add(name)
    if (!current || changed.length > 0) {
      current = this.#compile(feeds)
      this.#made.push(current)
    }
    return (await current.program).run(feeds)
  }

  #compile(feeds: ReadonlyMap<string, Tensor>): Compiled {
    const { backend, graph, options, weights, budget } = this.#parts
    const resident = new Map<string, Tensor>()
    for (const name of weights) {
      const tensor = feeds.get(name)
      if (!tensor || this.#changing.has(name)) continue
      if (tensor.data.byteLength > budget.leftBytes) continue
      budget.leftBytes -= tensor.data.byteLength
      resident.set(name, tensor)
    }
    const initializers = new Map([...(options.initializers ?? []), ...resident])
    return { program: backend.compile(graph, { ...options, initializers }), resident }
  }

  async dispose(): Promise<void> {
    for (const { program, resident } of this.#made.splice(0)) {
      this.#parts.budget.leftBytes += countBytes(resident)
      await (await program).dispose()
    }
  }
}

/** Programs over one session: weights are unpacked once for all of them. */
class ResidentGroup implements ProgramGroup {
  readonly #group: ProgramGroup
  readonly #budget: Budget
  #weights: UnpackedWeights = new Map()
  #alive = 0

  constructor(group: ProgramGroup, budget: Budget) {
    this.#group = group
    this.#budget = budget
  }

  async add(members: readonly GroupMember[]): Promise<Program[]> {
    const before = countBytes(this.#weights)
    const unpacked = members.map(({ graph, initializers }) =>
      unpackLinears(
        graph,
        requireInMemory(initializers),
        this.#budget.leftBytes - (countBytes(this.#weights) - before),
        this.#weights,
      ),
    )
    this.#budget.leftBytes -= countBytes(this.#weights) - before
    this.#alive += members.length
    const programs = await this.#group.add(unpacked)
    return programs.map((program) => ({
      run: (feeds) => program.run(feeds),
      dispose: async () => {
        await program.dispose()
        if (--this.#alive === 0) this.#giveBack()
      },
    }))
  }

  #giveBack(): void {
    this.#budget.leftBytes += countBytes(this.#weights)
    this.#weights = new Map()
  }
}

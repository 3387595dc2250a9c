// Programs that share one session, and so one packed copy of their weights. A program that joins
// later makes the session again: the old one is released first, so that there are never two copies.

import { assertInternal, UnsupportedError } from '../base/errors.ts'
import { sizeOf, type Tensor, type TensorData } from '../base/tensor.ts'
import type { OnnxModel, OnnxValue } from '../formats/onnx.ts'
import type { Graph, GraphInput } from '../graph/ir.ts'
import { toMemberInput } from '../graph/passes/join-branches.ts'
import { joinGraphs, type JoinedMember } from '../graph/passes/join-graphs.ts'
import { toOnnx, toOutputName } from '../graph/passes/to-onnx.ts'
import type { CompileOptions, GroupMember, Program, ProgramGroup } from './backend.ts'
import type { Dialect } from './dialect.ts'
import type { OnnxSession, OnnxTensor } from './onnx-library.ts'

/** What a backend asks about an input before it is fed. */
export type FedInput = Pick<GraphInput, 'name' | 'role'>

export interface GroupParts {
  open(model: OnnxModel): Promise<OnnxSession>
  compile(graph: Graph, options: CompileOptions): Promise<Program>
  wrap(tensor: Tensor): OnnxTensor
  unwrap(tensor: OnnxTensor): Tensor
  /** The tensor in a form that the platform takes; throws if there is none. */
  toFed(input: FedInput, tensor: Tensor): Tensor
  readonly dialect: Pick<Dialect, 'operators' | 'emptyTensors'>
}

/** The model of all members, before it is opened. */
interface GroupModel {
  readonly model: OnnxModel
  readonly members: ReadonlyMap<GroupMember, JoinedMember>
}

interface OpenGroup extends GroupModel {
  readonly session: OnnxSession
  /**
   * By member: the selector of the member that runs, and placeholders for inputs that it does not
   * have.
   */
  readonly fixed: ReadonlyMap<GroupMember, Readonly<Record<string, OnnxTensor>>>
}

export const createProgramGroup = (parts: GroupParts): ProgramGroup => new SessionGroup(parts)

class SessionGroup implements ProgramGroup {
  readonly #parts: GroupParts
  readonly #alive = new Set<GroupMember>()
  readonly #running = new Set<Promise<unknown>>()
  #open: OpenGroup | undefined
  /**
   * Resolves when the changes so far have ended: changes run one after the other, and runs wait for
   * them.
   */
  #changed: Promise<unknown> = Promise.resolve()

  constructor(parts: GroupParts) {
    this.#parts = parts
  }

  add(added: readonly GroupMember[]): Promise<Program[]> {
    return this.#change(async () => {
      const group = joinMembers([...this.#alive, ...added], this.#parts.dialect)
      if (!group)
        return Promise.all(
          added.map(({ graph, initializers }) => this.#parts.compile(graph, { initializers })),
        )
      await this.#replace(group)
      for (const member of added) this.#alive.add(member)
      return added.map((member) => this.#toProgram(member))
    })
  }

  #change<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#changed.then(work)
    this.#changed = result.catch(() => undefined)
    return result
  }

  async #replace(group: GroupModel): Promise<void> {
    await this.#release()
    const session = await this.#parts.open(group.model)
    this.#open = { ...group, session, fixed: collectFixedFeeds(group, this.#parts) }
  }

  async #release(): Promise<void> {
    await Promise.allSettled(this.#running)
    const session = this.#open?.session
    this.#open = undefined
    await session?.release()
  }

  #toProgram(member: GroupMember): Program {
    return {
      run: async (feeds) => {
        await this.#changed
        // A member that could not be added has left the group without a session.
        if (!this.#open) await this.#change(() => this.#reopen())
        const running = this.#run(member, feeds)
        this.#running.add(running)
        return running.finally(() => this.#running.delete(running))
      },
      dispose: () =>
        this.#change(async () => {
          this.#alive.delete(member)
          if (this.#alive.size === 0) await this.#release()
        }),
    }
  }

  async #reopen(): Promise<void> {
    const group = this.#open ? undefined : joinMembers([...this.#alive], this.#parts.dialect)
    if (group) await this.#replace(group)
  }

  async #run(
    member: GroupMember,
    feeds: ReadonlyMap<string, Tensor>,
  ): Promise<Map<string, Tensor>> {
    const open = this.#open
    const joined = open?.members.get(member)
    assertInternal(open && joined, 'a program of a group is run before it is disposed of')
    const fed: Record<string, OnnxTensor> = { ...open.fixed.get(member) }
    const { wrap, toFed } = this.#parts
    for (const input of member.graph.inputs) {
      const given = joined.inputs.get(input.name)
      if (given === undefined) continue
      const tensor = feeds.get(input.name)
      if (!tensor) throw new UnsupportedError(`Graph input "${input.name}" was not fed.`)
      fed[given] = wrap(toFed(input, tensor))
    }
    const results = await open.session.run(fed, [...joined.outputs.values()])
    return new Map(
      [...joined.outputs].map(([name, given]) => [name, this.#parts.unwrap(results[given]!)]),
    )
  }
}

/** Undefined if the members do not share their products. */
function joinMembers(
  members: readonly GroupMember[],
  dialect: GroupParts['dialect'],
): GroupModel | undefined {
  const [first] = members
  if (!first) return undefined
  if (members.length === 1) return toSingle(first, dialect)
  const joined = joinGraphs(members, dialect)
  return (
    joined && {
      model: joined.model,
      members: new Map(members.map((member, i) => [member, joined.members[i]!])),
    }
  )
}

function toSingle(member: GroupMember, { operators }: GroupParts['dialect']): GroupModel {
  const model = toOnnx(member.graph, member.initializers, operators)
  const names = {
    inputs: new Map(model.inputs.map(({ name }) => [name, name])),
    outputs: new Map([...member.graph.outputs.keys()].map((name) => [name, toOutputName(name)])),
  }
  return { model, members: new Map([[member, names]]) }
}

function collectFixedFeeds(
  { model, members }: GroupModel,
  { wrap, dialect }: GroupParts,
): ReadonlyMap<GroupMember, Readonly<Record<string, OnnxTensor>>> {
  const choose = (is: boolean): OnnxTensor =>
    wrap({ dtype: 'bool', shape: [], data: Uint8Array.of(is ? 1 : 0) })
  const all = [...members]
  return new Map(
    all.map(([member, { inputs }], index) => {
      const own = new Set(inputs.values())
      const fixed: Record<string, OnnxTensor> = {}
      for (const input of model.inputs)
        if (!own.has(input.name))
          fixed[input.name] = wrap(createUnused(input, dialect.emptyTensors ? 0 : 1))
      for (let other = 0; other < all.length - 1; other++)
        fixed[toMemberInput(other)] = choose(other === index)
      return [member, fixed] as const
    }),
  )
}

/** Zeros, `least` along every axis that has no fixed length. */
function createUnused({ dtype, shape: dims }: OnnxValue, least: number): Tensor {
  const shape = dims.map((dim) => (typeof dim === 'number' ? dim : least))
  const size = sizeOf(shape)
  return { dtype, shape, data: createZeros(dtype, size) }
}

function createZeros(dtype: OnnxValue['dtype'], size: number): TensorData {
  if (dtype === 'i64') return new BigInt64Array(size)
  if (dtype === 'i32') return new Int32Array(size)
  if (dtype === 'f16') return new Uint16Array(size)
  if (dtype === 'i8') return new Int8Array(size)
  return dtype === 'f32' ? new Float32Array(size) : new Uint8Array(size)
}

// The nodes between two shared products of joined graphs. Graphs with the same computation share
// the nodes; an If, which costs ONNX Runtime about 60 µs, separates only graphs that differ.

import { assertInternal } from '../../base/errors.ts'
import { type Tensor, viewBytes } from '../../base/tensor.ts'
import type { OnnxAttribute, OnnxBranch, OnnxNode } from '../../formats/onnx.ts'
import type { StageSlot } from './stage-plan.ts'

/** Input of the model, bool []: whether this graph is the one that runs. The last one has none. */
export const toMemberInput = (index: number): string => `%member${index}`

/** The nodes of one graph between two products; the names of its own values begin with `prefix`. */
export interface MemberBranch {
  readonly branch: OnnxBranch
  readonly prefix: string
}

/** Graphs with the same computation in one stage. */
interface BranchGroup {
  readonly members: number[]
  readonly branch: MemberBranch
}

export interface JoinedBranches {
  readonly nodes: readonly OnnxNode[]
  readonly initializers: ReadonlyMap<string, Tensor>
}

/**
 * One branch for each graph → the nodes of the stage. `conditions` collects the conditions of each
 * graph: a node made once for all stages.
 */
export function joinBranches(
  branches: readonly MemberBranch[],
  slots: readonly StageSlot[],
  conditions: Map<string, OnnxNode>,
): JoinedBranches {
  const groups = groupBranches(branches)
  const [first] = groups
  assertInternal(first, 'there is a graph to join')
  if (groups.length === 1) return placeBranch(first.branch.branch, slots)
  // The last group needs no condition: it runs if none of the others does.
  const last = groups.find(({ members }) => members.includes(branches.length - 1))!
  const others = groups.filter((group) => group !== last)
  return {
    nodes: [choose(others, last.branch.branch, slots, conditions)],
    initializers: new Map(),
  }
}

function groupBranches(branches: readonly MemberBranch[]): BranchGroup[] {
  const groups: BranchGroup[] = []
  branches.forEach((branch, index) => {
    const same = groups.find((group) => isSameBranch(group.branch, branch))
    if (same) same.members.push(index)
    else groups.push({ members: [index], branch })
  })
  return groups
}

/** Whether two branches compute the same from the same values. */
function isSameBranch(a: MemberBranch, b: MemberBranch): boolean {
  // The graph inside a node is not compared: it counts as another one.
  if (a.branch.nodes.some(({ attributes }) => Object.values(attributes).some(isGraph))) return false
  const own = collectOwnNames(a)
  const others = collectOwnNames(b)
  if (describeBranch(a, own) !== describeBranch(b, others)) return false
  const numbered = new Map([...others].map(([name, number]) => [number, name]))
  return [...a.branch.initializers].every(([name, tensor]) => {
    const other = b.branch.initializers.get(numbered.get(own.get(name)!)!)
    return other !== undefined && isSameTensor(tensor, other)
  })
}

const isGraph = (attribute: OnnxAttribute): boolean => 'graph' in attribute

function isSameTensor(a: Tensor, b: Tensor): boolean {
  if (a === b) return true
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false
  const bytes = viewBytes(a)
  const others = viewBytes(b)
  return bytes.every((byte, i) => byte === others[i])
}

/**
 * Names of the branch's own values by their first occurrence, because each graph numbers its values
 * separately.
 */
function collectOwnNames({ branch, prefix }: MemberBranch): ReadonlyMap<string, number> {
  const seen = [
    ...branch.nodes.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]),
    ...branch.outputs.map(({ name }) => name),
    ...branch.initializers.keys(),
  ]
  const own = new Set(seen.filter((name) => name.startsWith(prefix)))
  return new Map([...own].map((name, number) => [name, number]))
}

/** All of it but what the initializers hold. */
function describeBranch({ branch }: MemberBranch, own: ReadonlyMap<string, number>): string {
  const named = (name: string): string | number => own.get(name) ?? name
  return JSON.stringify([
    branch.nodes.map(({ type, domain, inputs, outputs, attributes }) => [
      type,
      domain,
      inputs.map(named),
      outputs.map(named),
      attributes,
    ]),
    branch.outputs.map(({ name, dtype }) => [named(name), dtype]),
    [...branch.initializers.keys()].map((name) => own.get(name)).sort(),
  ])
}

/** The branch's nodes unchanged, with outputs named as the slots. */
function placeBranch(branch: OnnxBranch, slots: readonly StageSlot[]): JoinedBranches {
  const given = new Map(branch.outputs.map(({ name }, at) => [name, slots[at]!.name]))
  const rename = (name: string): string => given.get(name) ?? name
  const nodes = branch.nodes.map((node): OnnxNode => {
    const { type, domain, attributes } = node
    return {
      type,
      domain,
      inputs: node.inputs.map(rename),
      outputs: node.outputs.map(rename),
      attributes,
    }
  })
  return { nodes, initializers: branch.initializers }
}

/** The node that runs one of the branches: If, with the further ones inside its else branch. */
function choose(
  [group, ...further]: readonly BranchGroup[],
  last: OnnxBranch,
  slots: readonly StageSlot[],
  conditions: Map<string, OnnxNode>,
  depth = 0,
): OnnxNode {
  assertInternal(group, 'there are two branches to choose from')
  const outputs = slots.map(({ name }) => (depth === 0 ? name : `${name}.${depth}`))
  const inner = further.length > 0 ? choose(further, last, slots, conditions, depth + 1) : undefined
  const otherwise = inner
    ? {
        nodes: [inner],
        initializers: new Map<string, Tensor>(),
        outputs: slots.map(({ dtype }, at) => ({ name: inner.outputs[at]!, dtype })),
      }
    : last
  return {
    type: 'If',
    domain: '',
    inputs: [requireCondition(group.members, conditions)],
    outputs,
    attributes: {
      then_branch: { graph: group.branch.branch },
      else_branch: { graph: otherwise },
    },
  }
}

/** The value that is true if one of these graphs runs. */
function requireCondition(members: readonly number[], conditions: Map<string, OnnxNode>): string {
  const [first, ...rest] = members.map(toMemberInput)
  return rest.reduce((one, other) => {
    const name = `${one}|${other}`
    if (!conditions.has(name))
      conditions.set(name, {
        type: 'Or',
        domain: '',
        inputs: [one, other],
        outputs: [name],
        attributes: {},
      })
    return name
  }, first!)
}

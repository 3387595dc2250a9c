// graft models plan, and --plan of run and serve: what a model will need before it is opened for use, and what the machine has.

import type { PlanOptions } from '../../node/prepared/plan-model.ts'
import { showDownloads } from '../shared/open-model.ts'
import { formatBytes } from '../ui/format.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

export async function showModelPlan(
  source: string,
  asked: Pick<PlanOptions, 'weights' | 'ropeScaling' | 'engine'>,
  terminal: Terminal,
) {
  const { planModel } = await import('../../node/prepared/plan-model.ts')
  const downloads = showDownloads(terminal)
  const plan = await planModel(source, {
    weights: asked.weights,
    ropeScaling: asked.ropeScaling,
    engine: asked.engine,
    onProgress: downloads.update,
  })
  downloads.end()
  const { memory, machine, engine } = plan
  const copies = memory.copies > 1 ? `, ${memory.copies} programs with a copy each` : ''
  const rows = [
    [`packed weights${copies}`, memory.packedBytes * memory.copies],
    ['matrices in f32', memory.floatBytes],
    ['embedding table', memory.tableBytes],
    ['while packing', memory.packingBytes],
    ['Node, libraries, programs', memory.processBytes],
    [engine ? 'peak of the model' : 'peak memory', memory.peakBytes],
    ...(engine
      ? ([
          ['keys and values of all requests, at most', engine.kvBytes],
          ['slots of experts, at most', engine.expertBytes],
          ['peak memory', memory.peakBytes + engine.kvBytes + engine.expertBytes],
        ] as const)
      : []),
  ] as const
  const lines = rows.map(([what, bytes]) => [what, formatBytes(bytes)])
  terminal.print(`${plan.name}: ${plan.architecture}, ${plan.layers} layers`)
  for (const line of formatTable(lines, ['left', 'right'])) terminal.print(line)
  terminal.print(
    `beside it: ${formatBytes(memory.tokenBytes * 1000)} of keys and values for each 1,000 tokens of a request; on disk ${formatBytes(memory.preparedBytes)} for the prepared file`,
  )
  terminal.print(
    `this machine has ${formatBytes(machine.totalBytes)}, of which ${formatBytes(machine.freeBytes)} are free: ${plan.fits ? 'it fits' : 'it does not fit'}`,
  )
  return plan
}

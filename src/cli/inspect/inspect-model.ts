// Collects what graft inspect shows of a model: architecture, sizes, element types, target modules,
// and for quantised models the distance of the fast path, which quantises activations to int8, from
// the exact one.

import { isBlockType } from '../../base/dtype.ts'
import { sizeOf } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import type { TensorStore } from '../../formats/tensor-store.ts'
import { listModules, type ModuleInfo } from '../../graph/model-graph.ts'
import type { LoadedModel } from '../../node/index.ts'
import { computeBaseDigest } from '../../node/models/base-digest.ts'
import {
  measureActivationError,
  type PredictionDistance,
  probePrompts,
} from '../../runtime/index.ts'
import { findLayer, describeLayers } from './layer-table.ts'
import { type ModelValues, openModel } from '../shared/open-model.ts'
import { formatBytes, formatCount } from '../ui/format.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

interface InspectValues {
  readonly weights: ModelValues['weights']
  readonly threads: number | undefined
  readonly prompts: number
  readonly norms: boolean
  readonly all: boolean
}

export async function inspectModel(source: string, values: InspectValues, terminal: Terminal) {
  const model = await openModel(source, values, terminal)
  try {
    const { base, config } = model
    const tensors = [...base.weights.tensors].map(([name, { dtype, shape, sizeBytes }]) => ({
      name,
      dtype,
      shape,
      sizeBytes,
    }))
    const quantised =
      tensors.some(({ dtype }) => isBlockType(dtype)) || ['q4', 'q8'].includes(values.weights ?? '')
    const result = {
      type: 'model',
      source,
      name: base.name,
      architecture: config.modelType,
      parameters: tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
      sizeBytes: tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      layers: config.layers.length,
      width: config.width,
      heads: config.heads,
      kvHeads: config.kvHeads,
      headWidth: config.headWidth,
      feedForward: config.feedForward,
      vocabularySize: config.vocabularySize,
      contextTokens: config.maxPositions,
      tiedEmbeddings: config.tiedEmbeddings,
      hasTokenizer: base.tokenizer !== undefined,
      hasChatTemplate: base.chatTemplate !== undefined,
      identity: await base.identity(),
      digest: (await computeBaseDigest(base.weights.name)) ?? null,
      types: countTypes(tensors),
      modules: groupModules(listModules(base.graph)),
      norms: values.norms ? await computeNorms(base.weights, terminal) : null,
      fastPath:
        quantised && values.prompts > 0
          ? await measureFastPath(model, values.prompts, terminal)
          : null,
      ...(values.all ? { tensors } : {}),
    }
    show(result, terminal)
    if (values.all)
      for (const line of formatTable(
        tensors.map(({ name, dtype, shape }) => [`  ${name}`, dtype, `[${shape.join(', ')}]`]),
      ))
        terminal.print(line)
    return result
  } finally {
    await model.dispose()
  }
}

/** Frobenius norms, one weight in memory at a time. */
async function computeNorms(
  weights: TensorStore,
  terminal: Terminal,
): Promise<{ name: string; norm: number }[]> {
  const progress = terminal.progress('norms', weights.tensors.size)
  const norms: { name: string; norm: number }[] = []
  for (const name of weights.tensors.keys()) {
    let squares = 0
    for (const value of toFloat32(await weights.read(name))) squares += value * value
    norms.push({ name, norm: Math.sqrt(squares) })
    progress.update(norms.length)
  }
  progress.end()
  return norms
}

interface TensorSummary {
  readonly dtype: string
  readonly sizeBytes: number
}

function countTypes(tensors: readonly TensorSummary[]) {
  const types = new Map<string, { tensors: number; sizeBytes: number }>()
  for (const { dtype, sizeBytes } of tensors) {
    const known = types.get(dtype) ?? { tensors: 0, sizeBytes: 0 }
    types.set(dtype, { tensors: known.tensors + 1, sizeBytes: known.sizeBytes + sizeBytes })
  }
  return Object.fromEntries(types)
}

/** Modules of one name and shape in all layers as one line. */
function groupModules(modules: readonly ModuleInfo[]) {
  const kinds = new Map<
    string,
    { name: string; kind: string; inFeatures: number; outFeatures: number; count: number }
  >()
  for (const { path, kind, inFeatures, outFeatures } of modules) {
    const name = path.replace(/^.*\.layers\.\d+\./, '')
    const key = JSON.stringify([name, inFeatures, outFeatures])
    kinds.set(key, { name, kind, inFeatures, outFeatures, count: (kinds.get(key)?.count ?? 0) + 1 })
  }
  return [...kinds.values()]
}

/** Compares prompt by prompt, so that there is something to see meanwhile. */
async function measureFastPath(
  model: LoadedModel,
  prompts: number,
  terminal: Terminal,
): Promise<PredictionDistance> {
  const some = probePrompts.slice(0, prompts)
  const progress = terminal.progress('comparing the fast path with the exact one', some.length)
  let divergence = 0
  let equal = 0
  let largestGap = 0
  for (const [i, prompt] of some.entries()) {
    progress.update(i)
    const one = await measureActivationError(model, [prompt])
    divergence += one.meanDivergence / some.length
    equal += one.equalGreedy / some.length
    largestGap = Math.max(largestGap, one.largestGap)
  }
  progress.end()
  return { prompts: some.length, meanDivergence: divergence, largestGap, equalGreedy: equal }
}

type InspectedModel = Awaited<ReturnType<typeof inspectModel>>

function show(result: InspectedModel, { print, style }: Terminal): void {
  const { name, architecture, parameters, sizeBytes, types, modules, fastPath } = result
  print(
    `${style.strong(name)}: ${architecture}, ${formatCount(parameters)} parameters, ${formatBytes(sizeBytes)}`,
  )
  const facts: [string, string][] = [
    ['layers', `${result.layers} of width ${result.width}, feed-forward ${result.feedForward}`],
    ['heads', `${result.heads}, key-value ${result.kvHeads}, each ${result.headWidth} wide`],
    [
      'vocabulary',
      `${formatCount(result.vocabularySize)}${result.tiedEmbeddings ? ', head tied to the embedding' : ''}`,
    ],
    ['context', `${formatCount(result.contextTokens)} tokens`],
    [
      'text',
      `${result.hasTokenizer ? 'tokenizer' : 'no tokenizer'}, ${result.hasChatTemplate ? 'chat template' : 'no chat template'}`,
    ],
    [
      'weights',
      Object.entries(types)
        .map(([dtype, type]) => `${type.tensors} ${dtype} (${formatBytes(type.sizeBytes)})`)
        .join(', '),
    ],
    ['identity', result.identity],
    ['digest', result.digest ?? '–'],
  ]
  for (const line of formatTable(facts.map(([fact, value]) => [`  ${fact}`, value]))) print(line)
  if (fastPath) {
    print(
      `  fast path   mean KL ${fastPath.meanDivergence.toExponential(2)} nats from the exact one, equal greedy token after ${Math.round(fastPath.equalGreedy * fastPath.prompts)} of ${fastPath.prompts} prompts`,
    )
  }
  const rows = modules.map((module) => [
    `  ${module.name}`,
    module.kind,
    `${module.inFeatures} → ${module.outFeatures}`,
    `× ${module.count}`,
  ])
  for (const line of formatTable([['  module', 'kind', 'shape', ''], ...rows])) print(line)
  if (!result.norms) return
  print('  ‖W‖ by layer and weight')
  const paths = result.norms.map((one) => ({
    path: one.name.replace(/\.weight$/, ''),
    layer: findLayer(one.name),
    norm: one.norm,
  }))
  for (const line of describeLayers(paths)) print(line)
}

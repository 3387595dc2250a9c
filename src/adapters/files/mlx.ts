// Adapters of mlx-lm, read as PEFT's LoRA or DoRA: adapter_config.json and adapters.safetensors.
// mlx stores both matrices transposed, lora_a [in, R] and lora_b [R, out]; only this file
// transposes them.

import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import type { ByteFolder } from '../../formats/byte-source.ts'
import { toFloat32 } from '../../formats/convert.ts'
import type { ModelGraph, ModuleInfo } from '../../graph/model-graph.ts'
import { checkAdapter, type Adapter } from '../adapter.ts'
import { isRecord, joinProblems, number, readFields, share } from '../../base/schema.ts'
import { toPeftKey } from '../keys.ts'
import type { PeftJson } from '../kinds/kind.ts'
import { readAdapterText } from './adapter-text.ts'
import { inferLoraConfig } from './lora-from-ranks.ts'
import { transposeValues } from '../kinds/matrices.ts'
import { readAdapterConfig, readAdapterTensors } from './peft.ts'
import { listAdaptableModules } from '../adapted-layers.ts'

const tensorFile = 'adapters.safetensors'

/**
 * Reads an adapter as mlx-lm saves it; rank by module from the tensors, s from the file. Throws
 * UnsupportedError for full fine-tunes and for unknown tensors (all listed), FormatError for a pair
 * with one missing matrix, MismatchError for shapes that do not fit the model.
 */
export async function loadMlxAdapter(folder: ByteFolder, model: ModelGraph): Promise<Adapter> {
  const json = await readAdapterConfig(folder)
  const { scale, dropout, kind } = readParameters(json, folder.name)
  const text = await readAdapterText(folder)
  const tensors = new Map<string, Tensor>()
  const ranks = new Map<string, number>()
  for (const { module, a, b, m } of collectPairs(
    await readAdapterTensors(folder, tensorFile),
    kind,
    folder.name,
    model,
  )) {
    const names =
      module.kind === 'embedding'
        ? ['lora_embedding_A', 'lora_embedding_B']
        : ['lora_A.weight', 'lora_B.weight']
    const key = (name: string): string => toPeftKey(`${module.path}.${name}`)
    tensors.set(key(names[0]!), transposeTensor(a)).set(key(names[1]!), transposeTensor(b))
    if (m) tensors.set(key('lora_magnitude_vector'), m)
    ranks.set(module.path, b.shape[0]!)
  }
  const adapter = {
    kind,
    config: { ...inferLoraConfig(ranks, (rank) => scale * rank, model), dropout },
    tensors,
    ...(text && { text }),
  }
  checkAdapter(adapter, model)
  return adapter
}

const parameterFields = { scale: number(), dropout: share }

/** Layers and ranks are read from the tensors. Older versions multiplied by an `alpha`. */
const parameterKeys = new Set(['scale', 'dropout', 'rank', 'keys'])

function readParameters(
  json: PeftJson,
  name: string,
): { scale: number; dropout: number; kind: 'lora' | 'dora' } {
  const kind = json['fine_tune_type'] ?? 'lora'
  if (kind !== 'lora' && kind !== 'dora')
    throw new UnsupportedError(
      `${name}: fine_tune_type is ${JSON.stringify(kind)}; supported: lora, dora.`,
    )
  const given = json['lora_parameters']
  const { values, problems } = readFields(isRecord(given) ? given : {}, parameterFields)
  for (const [key, value] of Object.entries(isRecord(given) ? given : {}))
    if (!parameterKeys.has(key) && value !== null)
      problems.push(`lora_parameters.${key}: is not supported`)
  if (values.scale === undefined && problems.length === 0)
    problems.push('lora_parameters.scale: is missing')
  if (problems.length > 0)
    throw new FormatError(`${name}: adapter_config.json: ${joinProblems(problems)}`)
  return { scale: values.scale!, dropout: values.dropout ?? 0, kind }
}

interface Pair {
  readonly module: ModuleInfo
  readonly a: Tensor
  readonly b: Tensor
  readonly m?: Tensor
}

function collectPairs(
  tensors: ReadonlyMap<string, Tensor>,
  kind: string,
  name: string,
  model: ModelGraph,
): Pair[] {
  const modules = new Map(listAdaptableModules(model).map((module) => [module.path, module]))
  const found = new Map<ModuleInfo, Record<string, Tensor>>()
  const strangers: string[] = []
  for (const [key, tensor] of tensors) {
    const [, path, part] = /^(.*)\.(lora_a|lora_b|m)$/.exec(key) ?? []
    const module = path === undefined ? undefined : modules.get(path)
    if (
      module &&
      tensor.shape.length === (part === 'm' ? 1 : 2) &&
      (part !== 'm' || kind === 'dora')
    )
      found.set(module, { ...found.get(module), [part!]: tensor })
    else strangers.push(`${key} [${tensor.shape.join(', ')}]`)
  }
  if (strangers.length > 0)
    throw new UnsupportedError(
      `${name}: the model has no layer for these tensors of a ${kind} adapter:\n  ${strangers.join('\n  ')}`,
    )
  return [...found].map(([module, { lora_a: a, lora_b: b, m }]) => {
    if (!a || !b || (kind === 'dora' && !m))
      throw new FormatError(
        `${name}: ${module.path} has only some of lora_a, lora_b${kind === 'dora' ? ', m' : ''}.`,
      )
    return { module, a, b, ...(m ? { m } : {}) }
  })
}

function transposeTensor(tensor: Tensor): Tensor {
  const [rows, columns] = tensor.shape as [number, number]
  return f32([columns, rows], transposeValues(toFloat32(tensor), rows, columns))
}

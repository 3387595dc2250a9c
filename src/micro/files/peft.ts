// MicroLoRA's weights as PEFT's two files, with B as [out, R]. Separate from adapters/files/peft.ts
// on purpose, because MicroLoRA's bundle must stay below 30 KB. Independent of: learning.

import { joinBytes } from '../../base/concat.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { encodeSafetensors } from '../../formats/safetensors/writer.ts'
import type { MicroLayout } from '../module/layout.ts'
import type { MicroLoraConfig } from '../options.ts'

/**
 * A's rows as they are, B turned from [R, out] to [out, R], the bias over the scale, because PEFT
 * scales it too.
 */
export function* toPeftTensors(
  name: string,
  { rank, inFeatures, outFeatures, parameterCount }: MicroLayout,
  weights: Float32Array,
  scale: number,
): Generator<[string, Tensor]> {
  const key = `base_model.model.${name}`
  const b = rank * inFeatures
  yield [`${key}.lora_A.weight`, f32([rank, inFeatures], weights.slice(0, b))]
  yield [
    `${key}.lora_B.weight`,
    f32(
      [outFeatures, rank],
      transposeRows(weights.subarray(b, b + rank * outFeatures), rank, outFeatures),
    ),
  ]
  if (parameterCount > b + rank * outFeatures)
    yield [
      `${key}.lora_B.bias`,
      f32(
        [outFeatures],
        weights.slice(b + rank * outFeatures).map((value) => value / scale),
      ),
    ]
}

/** [rows, columns] → [columns, rows] */
export function transposeRows(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length)
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) result[c * rows + r] = values[r * columns + c]!
  return result
}

export interface PeftFiles {
  readonly 'adapter_config.json': Uint8Array
  readonly 'adapter_model.safetensors': Uint8Array
}

export interface PeftExport {
  /** base_model_name_or_path */
  readonly baseModel?: string | undefined
  readonly taskType?: string | undefined
}

/**
 * Both files of an adapter folder. Modules' names become target modules, so they should be paths
 * within the model.
 */
export function encodePeftFiles(
  config: MicroLoraConfig,
  tensors: ReadonlyMap<string, Tensor>,
  { baseModel, taskType }: PeftExport,
): PeftFiles {
  const { alpha, bias, dropout, modules, rank } = config
  const json = {
    base_model_name_or_path: baseModel ?? null,
    bias: 'none',
    inference_mode: true,
    lora_alpha: alpha,
    lora_bias: bias,
    lora_dropout: dropout,
    peft_type: 'LORA',
    r: rank,
    target_modules: Object.keys(modules).sort(),
    task_type: taskType ?? 'CAUSAL_LM',
  }
  return {
    'adapter_config.json': new TextEncoder().encode(`${JSON.stringify(json, null, 2)}\n`),
    'adapter_model.safetensors': joinBytes(encodeSafetensors(tensors, { format: 'pt' })),
  }
}

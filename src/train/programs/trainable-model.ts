// What training needs of a model: its graph, its weights and a backend to run programs on.

import type { F32Tensor } from '../../base/tensor.ts'
import type { Backend } from '../../compute/backend.ts'
import type { BaseModel } from '../../graph/base-model.ts'
import type { Quantization } from '../../graph/quantized-base/frozen-form-table.ts'
import type { BaseWeight } from '../../graph/quantized-base/quantize-weight.ts'

/** What training needs of a model. */
export interface TrainableModel {
  readonly base: Pick<
    BaseModel,
    'name' | 'graph' | 'tokenizer' | 'chatTemplate' | 'identity' | 'ropeScaling'
  >
  readonly backend: Backend
  /**
   * The base's weights by checkpoint name, quantised on request, tensor by tensor. They are never
   * changed.
   */
  weights(): Promise<ReadonlyMap<string, F32Tensor>>
  weights(options?: {
    readonly quantization?: Quantization
  }): Promise<ReadonlyMap<string, BaseWeight>>
}

// The reference backend: the slow interpreter behind the backend contract. It is the oracle of
// every other one.

import { isFileTensor } from '../base/tensor.ts'
import { evaluate } from '../graph/evaluate.ts'
import type { Backend } from './backend.ts'
import { makeLazyTensor } from './lazy-tensor.ts'

export const referenceBackend: Backend = {
  name: 'reference',
  async compile(graph, { initializers = new Map() } = {}) {
    const held = [...initializers].map(
      ([name, tensor]) => [name, isFileTensor(tensor) ? makeLazyTensor(tensor) : tensor] as const,
    )
    return {
      run: async (feeds) => evaluate(graph, new Map([...feeds, ...held])),
      dispose: async () => {},
    }
  },
}

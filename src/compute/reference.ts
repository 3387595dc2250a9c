// The reference backend: the slow interpreter behind the backend contract. It is the oracle of
// every other one.

import { evaluate } from '../graph/evaluate.ts'
import type { Backend } from './backend.ts'

export const referenceBackend: Backend = {
  name: 'reference',
  compile: async (graph, { initializers = new Map() } = {}) => ({
    run: async (feeds) => evaluate(graph, new Map([...feeds, ...initializers])),
    dispose: async () => {},
  }),
}

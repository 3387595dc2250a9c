// Operations, gradients, swaps and merges on ONNX Runtime for browsers: the suites that Node runs.

import '../../../src/graph/operations.test.ts'
import '../../../src/graph/passes/recompute.test.ts'
import '../../../src/graph/passes/gradient.test.ts'
import '../../../src/adapters/serving/hot-swap.test.ts'
import '../../../src/merge/merge.test.ts'
import { runAll } from './suite.ts'

Object.assign(globalThis, { outcomes: runAll() })

// Cases of the operations that bring earlier tokens in without attention.

import { i64 } from '../base/tensor.ts'
import {
  type CaseInput,
  fixed,
  integersBelow,
  numbers,
  type OperationCase,
} from './operation.contract.ts'

/** Positions of one sequence of three tokens, and of two packed ones. */
const restarting: CaseInput = {
  shape: ['N', 'T'],
  constant: true,
  values: () => i64([2, 3], [0, 1, 2, 0, 0, 1]),
}

export const sequenceCases: Readonly<Record<string, readonly OperationCase[]>> = {
  causalConvolution: [
    { inputs: [numbers('N', 'T', 4), numbers(4, 1, 3), restarting] },
    { title: 'of one token', inputs: [numbers('N', 'T', 4), numbers(4, 1, 1), restarting] },
  ],
  cachedConvolution: [
    { inputs: [fixed('N', 'T', 4), fixed('N', 2, 4), fixed(4, 1, 3)] },
    { title: 'one new token', inputs: [fixed('N', 1, 4), fixed('N', 2, 4), fixed(4, 1, 3)] },
  ],
  positionGrowth: [
    { inputs: [integersBelow(40, 'N', 'T')], attributes: { beta: 0.1, original: 8 } },
  ],
  shiftTokens: [
    { inputs: [numbers('N', 'T', 4), restarting], attributes: { by: 1 } },
    { title: 'by all', inputs: [numbers('N', 'T', 4), restarting], attributes: { by: 4 } },
  ],
  unshiftTokens: [{ inputs: [numbers('N', 'T', 4), restarting], attributes: { by: 1 } }],
}

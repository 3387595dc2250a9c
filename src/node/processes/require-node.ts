// The first import of graftlm/node: if Node is too old, prints one sentence instead of an error
// about a missing feature.

import { UnsupportedError } from '../../base/errors.ts'
import { describeOldNode } from './old-node.ts'

const problem = describeOldNode(process.versions)
if (problem !== undefined) throw new UnsupportedError(problem)
